// What runs a bundle's TensorRT engines, on stand-ins for TensorRT and CUDA: tensors, batches, types, memory, every refusal.
//   tensorrt_test FOLDER
#include <cmath>
#include <thread>

#include <cuda_runtime_api.h>

#include "tensorrt/half.h"
#include "tensorrt/library_messages.h"
#include "tensorrt_rig.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes frames_of(std::size_t count) {
  Bytes frames;
  for (std::size_t place = 0; place < count * 6; ++place) frames.push_back(static_cast<std::uint8_t>(place % 251));
  return frames;
}

std::vector<float> sums_of(const Bytes& frames) {
  std::vector<float> sums;
  for (std::size_t place = 0; place < frames.size(); ++place) {
    if (place % 6 == 0) sums.push_back(0);
    sums.back() += frames[place];
  }
  return sums;
}

void outputs_of_any_batch() {
  const EngineFolder folder;
  const auto engine = opened(folder);
  for (const std::size_t count : {1, 2, 3, 4, 5, 9}) {
    const Bytes frames = frames_of(count);
    const std::vector<float> sums = sums_of(frames);
    const auto items = static_cast<std::int64_t>(count);
    stand_in().batches.clear();
    const cavsync::Tensor embedding = engine->run(frames, {items, 2, 3}, "embedding");
    REQUIRE((embedding.shape == std::vector<std::int64_t>{items, 2}));
    const cavsync::Tensor patches = engine->run(frames, {items, 2, 3}, "patches");
    REQUIRE((patches.shape == std::vector<std::int64_t>{items, 3, 2}));
    const cavsync::Tensor mask = engine->run(frames, {items, 2, 3}, "mask");
    for (std::size_t item = 0; item < count; ++item) {
      for (std::size_t number = 0; number < 2; ++number) {
        REQUIRE(embedding.values.at(item * 2 + number) == sums[item] + static_cast<float>(number));
      }
      for (std::size_t number = 0; number < 6; ++number) {
        REQUIRE(patches.values.at(item * 6 + number) == sums[item] + static_cast<float>(number));
      }
      REQUIRE(mask.values.at(item) == static_cast<float>(static_cast<int>(sums[item]) % 256));
    }
    REQUIRE(embedding.values.size() == count * 2 && patches.values.size() == count * 6);
    // Parts of at most four, the last of which is padded to two.
    std::vector<std::int64_t> parts;
    for (std::int64_t left = items; left > 0; left -= 4) parts.push_back(std::clamp<std::int64_t>(left, 2, 4));
    const std::vector<std::int64_t> first(stand_in().batches.begin(),
                                          stand_in().batches.begin() + static_cast<std::ptrdiff_t>(parts.size()));
    REQUIRE(first == parts && stand_in().batches.size() == 3 * parts.size());
  }
  const cavsync::Tensor none = engine->run(Bytes{}, {0, 2, 3}, "patches");
  REQUIRE((none.values.empty() && none.shape == std::vector<std::int64_t>{0, 3, 2}));
}

void memory_is_freed() {
  const EngineFolder folder;
  {
    const auto engine = opened(folder);
    REQUIRE(stand_in().live_memory == 4 && stand_in().live_streams == 1 && stand_in().live_objects == 3);
    // Four items of each tensor: 6 and 1 bytes, 2 floats and 6 halves.
    REQUIRE(stand_in().used_bytes == 4 * (6 + 8 + 12 + 1));
  }
  REQUIRE_ALL_FREED();
}

void wrong_inputs() {
  const EngineFolder folder;
  const auto engine = opened(folder);
  const auto said = [&](auto values, std::vector<std::int64_t> shape, const char* output) {
    return refusal(CAVSYNC_ERROR_BUNDLE, [&] { engine->run(values, shape, output); });
  };
  REQUIRE_SAID(said(Bytes(12), {1, 4, 3}, "embedding"), "takes uint8 (0, 2, 3), it was given uint8 (1, 4, 3)");
  REQUIRE_SAID(said(std::vector<float>(6), {1, 2, 3}, "embedding"), "it was given float32 (1, 2, 3)");
  REQUIRE_SAID(said(Bytes(6), {1, 2, 3}, "tags"), "has no output tags");
}

void values_that_are_not_finite() {
  const EngineFolder folder(plan_of(kTensors, 2, 4, HUGE_VAL));
  const auto engine = opened(folder);
  for (const char* output : {"embedding", "patches"}) {
    const std::string sentence = refusal(CAVSYNC_ERROR_BUNDLE, [&] { engine->run(Bytes(6, 1), {1, 2, 3}, output); });
    REQUIRE_SAID(sentence, "gives values that are not finite");
  }
}

// Calls that fail when the engine is opened, and when it runs; nothing stays behind, and an engine works afterwards.
void failing_calls() {
  const EngineFolder folder;
  struct Failure {
    const char* call;
    cavsync_status status;
    const char* words;
  };
  const char* reason = "(out of luck): rebuild it on this machine with `cavsync export RUN --out BUNDLE --trt tensorrt";
  const Failure openings[] = {
      {"createInferRuntime", CAVSYNC_ERROR_BUNDLE, "finds no usable library (out of luck)"},
      {"deserializeCudaEngine", CAVSYNC_ERROR_BUNDLE, "cannot be opened (out of luck)"},
      {"createExecutionContext", CAVSYNC_ERROR_BUNDLE, "gets no working memory (out of luck)"},
      {"setTensorAddress", CAVSYNC_ERROR_BUNDLE, "does not take memory for frames (out of luck)"},
      {"cudaGetDeviceCount", CAVSYNC_ERROR_CONFIG, "CUDA shows none (unspecified launch failure)"},
      {"cudaDeviceGetAttribute", CAVSYNC_ERROR_CONFIG, "cudaDeviceGetAttribute fails on this machine"},
      {"cudaSetDevice", CAVSYNC_ERROR_CONFIG, "cudaSetDevice fails on this machine"},
      {"cudaStreamCreateWithFlags", CAVSYNC_ERROR_CONFIG, "cudaStreamCreateWithFlags fails on this machine"},
      {"cudaMalloc", CAVSYNC_ERROR_CONFIG, "cudaMalloc fails on this machine"}};
  for (const auto& [call, status, words] : openings) {
    stand_in().failing = call;
    const std::string sentence = refusal(status, [&] { opened(folder); });
    REQUIRE_SAID(sentence, words);
    if (status == CAVSYNC_ERROR_BUNDLE) REQUIRE_SAID(sentence, reason);
    REQUIRE_ALL_FREED();
  }
  const Failure runs[] = {{"setInputShape", CAVSYNC_ERROR_BUNDLE, "refuses an input of shape (3, 2, 3) (out of luck)"},
                          {"enqueueV3", CAVSYNC_ERROR_BUNDLE, "fails on an input of shape (3, 2, 3) (out of luck)"},
                          {"upload", CAVSYNC_ERROR_CONFIG, "cudaMemcpyAsync fails on this machine"},
                          {"download", CAVSYNC_ERROR_CONFIG, "cudaMemcpyAsync fails on this machine"},
                          {"cudaStreamSynchronize", CAVSYNC_ERROR_CONFIG, "cudaStreamSynchronize fails"}};
  stand_in().failing.clear();
  {
    const auto engine = opened(folder);
    for (const auto& [call, status, words] : runs) {
      stand_in().failing = call;
      REQUIRE_SAID(refusal(status, [&] { engine->run(frames_of(3), {3, 2, 3}, "embedding"); }), words);
      stand_in().failing.clear();
      REQUIRE(engine->run(frames_of(3), {3, 2, 3}, "embedding").values.at(0) == 15);
    }
  }
  REQUIRE_ALL_FREED();
}

void too_little_memory() {
  const EngineFolder folder;
  stand_in().memory_bytes = 60;
  REQUIRE_SAID(refusal(CAVSYNC_ERROR_CONFIG, [&] { opened(folder); }),
               "cudaMalloc fails on this machine (out of memory)");
  REQUIRE_ALL_FREED();
  stand_in().memory_bytes = 1 << 20;
}

void machines_without_a_gpu() {
  const EngineFolder folder;
  const auto said = [&](int device) { return refusal(CAVSYNC_ERROR_CONFIG, [&] { opened(folder, device); }); };
  REQUIRE_SAID(said(3), "GPU number 3 does not exist, CUDA shows 1");
  stand_in().num_gpus = 0;
  REQUIRE_SAID(said(0),
               "v.engine needs an NVIDIA GPU, and here CUDA shows none (there is none): run it on a machine with one");
  stand_in().has_driver = false;
  REQUIRE_SAID(said(0), "CUDA shows none (CUDA driver version is insufficient for CUDA runtime version)");
  REQUIRE(!cavsync::compute_capability_of(0));
  stand_in().has_driver = true;
  stand_in().num_gpus = 1;
  REQUIRE(cavsync::compute_capability_of(0) == "89");
}

// The engine is compared with its sidecar, by which memory was allocated.
void engines_that_their_sidecar_does_not_describe() {
  const auto said = [](std::vector<StandInTensor> tensors, std::int64_t least, std::int64_t most) {
    const EngineFolder folder(plan_of(tensors, least, most));
    return refusal(CAVSYNC_ERROR_BUNDLE, [&] { opened(folder); });
  };
  const auto with = [](std::size_t place, const StandInTensor& tensor) {
    std::vector<StandInTensor> tensors = kTensors;
    tensors[place] = tensor;
    return tensors;
  };
  const char* declares = "its sidecar declares embedding (output float32 (0, 2)), frames (input uint8 (0, 2, 3))";
  REQUIRE_SAID(said(with(1, {"embedding", "output", "float32", {200}}), 2, 4), declares);
  REQUIRE_SAID(said(with(1, {"embedding", "output", "float16", {2}}), 2, 4),
               "embedding (output float16 (0, 2)), frames");
  REQUIRE_SAID(said(with(1, {"embedding", "output", "int64", {2}}), 2, 4),
               "embedding (output another type (0, 2)), frames");
  REQUIRE_SAID(said(with(1, {"other", "output", "float32", {2}}), 2, 4), "other (output float32 (0, 2))");
  REQUIRE_SAID(said(with(1, {"embedding", "input", "float32", {2}}), 2, 4), "embedding (input float32 (0, 2)), frames");
  std::vector<StandInTensor> more = kTensors;
  more.push_back({"more", "output", "float32", {2}});
  REQUIRE_SAID(said(more, 2, 4), "more (output float32 (0, 2))");
  REQUIRE_SAID(said(kTensors, 2, 3), "takes 2 to 3 items at a time, its sidecar declares 2 to 4: rebuild it");
  REQUIRE_SAID(said(kTensors, 3, 4), "takes 3 to 4 items at a time");
  REQUIRE(said(kTensors, 1, 8) == "(no error)");
  REQUIRE_ALL_FREED();
}

void another_gpu_stays_current() {
  const EngineFolder folder;
  stand_in().num_gpus = 3;
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  int device = 0;
  {
    const auto engine = opened(folder, 2);
    REQUIRE(cudaGetDevice(&device) == cudaSuccess && device == 1);
    engine->run(frames_of(2), {2, 2, 3}, "embedding");
    REQUIRE(cudaGetDevice(&device) == cudaSuccess && device == 1);
  }
  REQUIRE(cudaGetDevice(&device) == cudaSuccess && device == 1);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  stand_in().num_gpus = 1;
}

void threads_share_an_engine() {
  const EngineFolder folder;
  const auto engine = opened(folder);
  std::vector<std::thread> threads;
  for (std::size_t count = 1; count <= 4; ++count) {
    threads.emplace_back([&engine, count] {
      const Bytes frames(count * 6, static_cast<std::uint8_t>(count));
      for (int turn = 0; turn < 200; ++turn) {
        const cavsync::Tensor found = engine->run(frames, {static_cast<std::int64_t>(count), 2, 3}, "embedding");
        REQUIRE(found.values.size() == 2 * count && found.values.back() == static_cast<float>(6 * count + 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void halves() {
  const std::pair<std::uint16_t, float> pairs[] = {{0x0000, 0.0F},     {0x3c00, 1.0F},       {0xc000, -2.0F},
                                                   {0x7bff, 65504.0F}, {0x0001, 0x1p-24F},   {0x03ff, 0x3ffp-24F},
                                                   {0x0400, 0x1p-14F}, {0x3555, 0x555p-12F}, {0xfc00, -HUGE_VALF}};
  for (const auto& [bits, value] : pairs) REQUIRE(cavsync::float_of_half(bits) == value);
  REQUIRE(std::isnan(cavsync::float_of_half(0x7e00)));
}

// Texts of TensorRT-RTX 1.7.1, as in the test of the Python package.
void reasons() {
  const std::string noise =
      "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/c.cpp:250 "
      "(cudaError 35: "
      "CUDA driver version is insufficient for CUDA runtime version))";
  const std::string turing =
      "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check_turing_op_compatibility] Cannot "
      "compile "
      "operation 'node_Gemm_323' for Turing (SM75): FP32 GEMM is not supported. In compileGraph at "
      "/_src/optimizer/myelin/codeGenerator.cpp:2012)";
  REQUIRE(cavsync::first_reason({noise, turing}) ==
          "Cannot compile operation 'node_Gemm_323' for Turing (SM75): FP32 GEMM is not supported");
  REQUIRE(cavsync::first_reason({noise, "false", ""}).empty());
  REQUIRE(cavsync::first_reason({"Invalid Node - n\nITensor::f: Error Code 4: API Usage Error (n: bad type. In f at "
                                 "/_src/n.cpp:4)\n" +
                                 noise}) == "n: bad type");
  REQUIRE(cavsync::first_reason({"Assertion failed: f(a.b(), &c): Failed to sort."}) == "Failed to sort");
  REQUIRE(cavsync::first_reason({std::string(1 << 20, '(')}).size() <= 300);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  EngineFolder::parent() = argv[1];
  outputs_of_any_batch();
  memory_is_freed();
  wrong_inputs();
  values_that_are_not_finite();
  failing_calls();
  too_little_memory();
  machines_without_a_gpu();
  engines_that_their_sidecar_does_not_describe();
  another_gpu_stays_current();
  threads_share_an_engine();
  halves();
  reasons();
  REQUIRE_ALL_FREED();
  return 0;
}
