// Which of a bundle's TensorRT engines are used, and which are refused before they are opened.
//   tensorrt_choice_test FOLDER
#include "tensorrt_rig.h"

namespace {

using cavsync::EngineChoice;
using cavsync::EngineOptions;
using cavsync::Manifest;
using nlohmann::json;

// A manifest whose encoders have the engines `files`, with sidecars, besides their ONNX graphs.
Manifest manifest_of(const EngineFolder& folder, const std::vector<std::pair<std::string, nlohmann::json>>& files) {
  Manifest manifest;
  manifest.precision = "fp32";
  for (const char* graph : {cavsync::kFrontend, cavsync::kAudioEncoder, cavsync::kVisualEncoder}) {
    manifest.graphs[graph] = graph_spec();
  }
  for (const char* graph : {cavsync::kAudioEncoder, cavsync::kVisualEncoder}) {
    for (const auto& [file, changes] : files) {
      const std::string plan = plan_of(kTensors, 2, 4);
      nlohmann::json sidecar = sidecar_of(plan);
      sidecar.update(changes);
      sidecar["graph"] = graph;
      cavsync::EngineSpec engine = engine_spec(std::string(graph) + file);
      engine.graph = graph;
      engine.runtime = sidecar["runtime"];
      engine.precision = sidecar["precision"];
      folder.write(engine.file, plan);
      folder.write(engine.file + ".json", sidecar.dump());
      manifest.engines.push_back(engine);
    }
  }
  return manifest;
}

EngineOptions named(const std::string& engine) {
  EngineOptions options;
  options.engine = engine;
  return options;
}

void the_first_engine_that_runs_on_this_gpu() {
  const EngineFolder folder;
  const Manifest manifest = manifest_of(folder, {{".sm86", {{"compute_capabilities", {"86"}}}},
                                                 {".sm89", {{"compute_capabilities", {"89"}}}},
                                                 {".sm90", {{"compute_capabilities", {"90"}}}}});
  const auto chosen = [&](const char* engine) {
    const EngineChoice choice = choose_engine(folder.path(), manifest, named(engine));
    return choice.runtime + ":" + choice.precision + choice.engines.at(cavsync::kVisualEncoder).file;
  };
  for (const char* engine : {"tensorrt", "tensorrt:fp16", "auto"}) {
    REQUIRE(chosen(engine) == "tensorrt:fp16visual_encoder.sm89");
  }
  stand_in().capability_major = 9;
  stand_in().capability_minor = 0;
  REQUIRE(chosen("auto") == "tensorrt:fp16visual_encoder.sm90");
  stand_in().capability_minor = 1;
  REQUIRE(choose_engine(folder.path(), manifest, named("auto")).runtime == cavsync::kOnnxRuntime);
  // Named, it is refused with a sentence when it is opened.
  REQUIRE(chosen("tensorrt") == "tensorrt:fp16visual_encoder.sm86");
  stand_in().capability_major = 8;
  stand_in().capability_minor = 9;
}

void auto_takes_what_opens_here() {
  const EngineFolder folder;
  const auto runtime = [&](const Manifest& manifest, EngineOptions options = named("auto")) {
    return choose_engine(folder.path(), manifest, options).runtime;
  };
  REQUIRE(runtime(manifest_of(folder, {{".e", json::object()}})) == cavsync::kTensorRt);
  REQUIRE(runtime(manifest_of(folder, {{".e", {{"library_version", "11.3.0.9"}}}})) == cavsync::kOnnxRuntime);
  REQUIRE(runtime(manifest_of(folder, {{".e", {{"runtime", "tensorrt_rtx"}}}})) == cavsync::kOnnxRuntime);
  Manifest manifest = manifest_of(folder, {{".e", json::object()}});
  stand_in().num_gpus = 0;
  REQUIRE(runtime(manifest) == cavsync::kOnnxRuntime);
  stand_in().num_gpus = 1;
  EngineOptions second = named("auto");
  second.device = 1;
  REQUIRE(runtime(manifest, second) == cavsync::kOnnxRuntime);
  manifest.engines.pop_back();
  REQUIRE(runtime(manifest) == cavsync::kOnnxRuntime);
}

void names_that_cannot_be_used() {
  const EngineFolder folder;
  const Manifest manifest = manifest_of(folder, {{".e", json::object()}});
  const auto said = [&](const EngineOptions& options, const Manifest& of) {
    return refusal(CAVSYNC_ERROR_CONFIG, [&] { choose_engine(folder.path(), of, options); });
  };
  REQUIRE_SAID(said(named("tensorrt_rtx"), manifest),
               "engine tensorrt_rtx is not in this libcavsync, which has onnxruntime");
  REQUIRE_SAID(said(named("tensorrt_rtx"), manifest), "build it with the SDK of TensorRT-RTX (-DTENSORRT_ROOT)");
  REQUIRE_SAID(said(named("tensorrt:int8"), manifest), "has no tensorrt:int8 engine of every encoder, it has ");
  REQUIRE_SAID(said(named("tensorrt"), manifest_of(folder, {})), "has no tensorrt engine of every encoder");
  EngineOptions options = named("tensorrt");
  options.provider = "cuda";
  options.device = -1;
  REQUIRE_SAID(said(options, manifest), "device is negative");
  options.device = 0;
  REQUIRE_SAID(said(options, manifest), "execution provider cuda belongs to ONNX Runtime, the engine is tensorrt");
  Manifest without = manifest;
  without.engines[1].companions.clear();
  REQUIRE_SAID(refusal(CAVSYNC_ERROR_BUNDLE, [&] { choose_engine(folder.path(), without, named("tensorrt")); }),
               "visual_encoder.e has 0 companions, its sidecar is expected: export the bundle again");
}

void the_engine_is_opened_by_its_name() {
  const EngineFolder folder;
  const Manifest manifest = manifest_of(folder, {{".e", json::object()}});
  const EngineChoice choice = choose_engine(folder.path(), manifest, named("tensorrt"));
  const auto engine = open_engine(folder.path(), manifest, cavsync::kVisualEncoder, choice);
  REQUIRE(engine->run(std::vector<std::uint8_t>(6, 2), {1, 2, 3}, "embedding").values.at(0) == 12);
}

void listed_engines() {
  const auto& engines = cavsync::built_engines();
  REQUIRE(engines.back().name == "tensorrt" && engines.back().version() == "11.4.0.106");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  EngineFolder::parent() = argv[1];
  the_first_engine_that_runs_on_this_gpu();
  auto_takes_what_opens_here();
  names_that_cannot_be_used();
  the_engine_is_opened_by_its_name();
  listed_engines();
  REQUIRE_ALL_FREED();
  return 0;
}
