// A folder with one engine of the stand-in for TensorRT and its sidecar, for the tests of what opens it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engines.h"
#include "error.h"
#include "plain_file.h"
#include "stand_in.h"
#include "tensorrt/sidecar.h"
#include "tensorrt/tensorrt_engine.h"

inline void fail(const char* expression, int line, const std::string& seen) {
  std::fprintf(stderr, "line %d: %s does not hold; seen: %s\n", line, expression, seen.c_str());
  std::exit(1);
}
#define REQUIRE(expression) \
  if (!(expression)) fail(#expression, __LINE__, "")
#define REQUIRE_SAID(sentence, words) \
  if ((sentence).find(words) == std::string::npos) fail(words, __LINE__, sentence)

// Frames (batch, 2, 3) in batches of 2 to 4, and outputs of three types.
inline const std::vector<StandInTensor> kTensors = {{"frames", "input", "uint8", {2, 3}},
                                                    {"embedding", "output", "float32", {2}},
                                                    {"patches", "output", "float16", {3, 2}},
                                                    {"mask", "output", "uint8", {1}}};

inline cavsync::TensorSpec spec_of(const StandInTensor& tensor) {
  cavsync::TensorSpec spec{tensor.name, {0}, tensor.dtype};
  spec.shape.insert(spec.shape.end(), tensor.shape.begin(), tensor.shape.end());
  return spec;
}

inline cavsync::GraphSpec graph_spec() {
  return {"v.onnx", {spec_of(kTensors[0])}, {spec_of(kTensors[1]), spec_of(kTensors[2]), spec_of(kTensors[3])}};
}

inline cavsync::EngineSpec engine_spec(const std::string& file = "v.engine") {
  return {cavsync::kVisualEncoder, cavsync::kTensorRt, "fp16", file, {file + ".json"}};
}

inline nlohmann::json sidecar_of(const std::string& plan) {
  nlohmann::json inputs = nlohmann::json::array(), outputs = nlohmann::json::array();
  for (const StandInTensor& tensor : kTensors) {
    nlohmann::json shape{"batch"};
    for (const std::int64_t size : tensor.shape) shape.push_back(size);
    (tensor.mode == "input" ? inputs : outputs)
        .push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", shape}});
  }
  return {{"format_version", 1},
          {"graph", cavsync::kVisualEncoder},
          {"runtime", cavsync::kTensorRt},
          {"library_version", "11.4.0.106"},
          {"cuda_version", "13"},
          {"precision", "fp16"},
          {"compute_capabilities", {"89"}},
          {"inputs", inputs},
          {"outputs", outputs},
          {"batch", {{"min", 2}, {"opt", 3}, {"max", 4}}},
          {"engine_sha256", cavsync::sha256_hex(plan)},
          {"source_sha256", std::string(64, '0')},
          {"size_bytes", plan.size()},
          {"rebuild_command", "cavsync export RUN --out BUNDLE --trt tensorrt --precision fp16"}};
}

// A new folder below that of the test, deleted with the object.
class EngineFolder {
 public:
  explicit EngineFolder(const std::string& plan = plan_of(kTensors, 2, 4)) : path_(parent() + "/engines") {
    std::filesystem::create_directories(path_);
    write("v.engine", plan);
    write("v.engine.json", sidecar_of(plan).dump());
  }
  ~EngineFolder() { std::filesystem::remove_all(path_); }
  EngineFolder(const EngineFolder&) = delete;
  EngineFolder& operator=(const EngineFolder&) = delete;

  static std::string& parent() {
    static std::string folder = ".";
    return folder;
  }
  const std::string& path() const { return path_; }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  }

 private:
  std::string path_;
};

inline std::unique_ptr<cavsync::Engine> opened(const EngineFolder& folder, int device = 0) {
  return cavsync::open_tensorrt(folder.path(), graph_spec(), engine_spec(), device);
}

// The sentence with which `action` fails, with the status that is expected.
template <class Action>
std::string refusal(cavsync_status status, Action action) {
  try {
    action();
  } catch (const cavsync::Error& error) {
    if (error.status() != status) fail("the status", error.status(), error.what());
    return error.what();
  }
  return "(no error)";
}

inline void require_all_freed(int line) {
  const StandIn& machine = stand_in();
  if (machine.live_memory + machine.live_streams + machine.live_objects != 0) fail("all is freed", line, "");
}
#define REQUIRE_ALL_FREED() require_all_freed(__LINE__)
