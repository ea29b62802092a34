// The JSON sidecar of a TensorRT engine, and the checks before the engine is opened, as in Python. An engine is executable
// code that cannot be inspected without a GPU, so its builder describes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "manifest.h"

namespace cavsync {

constexpr const char* kTensorRt = "tensorrt";
constexpr const char* kTensorRtRtx = "tensorrt_rtx";

// Items per call: the fewest, the number that speed is tuned for, the most.
struct BatchProfile {
  std::int64_t min = 0, opt = 0, max = 0;
};

// The first size of each tensor is the batch (0). Without `compute_capabilities`, each as in "89", the engine runs on every
// GPU that its library builds for by default.
struct Sidecar {
  std::string graph, runtime, library_version, precision;
  std::vector<std::string> compute_capabilities;
  std::vector<TensorSpec> inputs, outputs;
  BatchProfile batch;
  std::string engine_sha256;
  std::int64_t size_bytes = 0;
  // Makes the same engine again; its words in capitals stand for a run and a folder.
  std::string rebuild_command;
};

// "TensorRT" or "TensorRT-RTX".
std::string product_name(const std::string& runtime);

// UnfitError for text that is too long or no JSON, or has an entry that is missing, unknown or unusable.
Sidecar sidecar_of_text(const std::string& text);

// A bundle error if it is missing, no plain file, too large or not JSON, or an entry is missing, unknown or unusable.
Sidecar read_sidecar(const std::string& path);

// The sidecar of the bundle folder's `engine`, which computes the graph `spec`; a bundle error if they differ.
Sidecar read_fitting_sidecar(const std::string& folder, const GraphSpec& spec, const EngineSpec& engine);

// Whether a library is the release that built the engine: neither library promises more than the same first three numbers.
bool is_same_release(const Sidecar& sidecar, const std::string& library_version);

// Whether the engine was built for GPUs of this compute capability.
bool runs_on(const Sidecar& sidecar, const std::string& compute_capability);

// The engine's bytes, after a comparison of the file with the sidecar, and of the sidecar with this machine; a bundle error
// for another size, hash, release or GPU.
std::string read_loadable(const Sidecar& sidecar, const std::string& engine_path, const std::string& library_version,
                          const std::string& compute_capability);

}  // namespace cavsync
