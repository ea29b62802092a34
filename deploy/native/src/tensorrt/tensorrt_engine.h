// A bundle's own TensorRT engines, on an NVIDIA GPU, in the product that this build has: TensorRT or TensorRT-RTX.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine.h"
#include "manifest.h"

namespace cavsync {

// "tensorrt" or "tensorrt_rtx" and the library's version, as in "1.7.1.116"; empty in a build without either.
std::string tensorrt_runtime();
std::string tensorrt_version();

// The compute capability of the GPU number `device`, as in "89", if there is such a GPU.
std::optional<std::string> compute_capability_of(int device);

// Open `engine`, with its sidecar as its only companion, in place of the ONNX graph `spec` of the bundle folder. A bundle
// error if the engine differs from its sidecar or the manifest, or was built for another release or GPU; a config error if
// the GPU is missing or CUDA refuses. One batch at a time runs.
std::unique_ptr<Engine> open_tensorrt(const std::string& folder, const GraphSpec& spec, const EngineSpec& engine,
                                      int device);

}  // namespace cavsync
