// What computes the encoders of a bundle: chosen by name as in Python, from what this build has.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "engine_options.h"
#include "manifest.h"

namespace cavsync {

constexpr const char* kOnnxRuntime = "onnxruntime";
constexpr const char* kOpenVino = "openvino";

struct BuiltEngine {
  std::string name;
  // Of its library, which may be loaded for that; empty if it cannot be.
  std::string (*version)();
};

// The engines of this build.
const std::vector<BuiltEngine>& built_engines();

struct EngineChoice {
  std::string runtime;
  std::string precision;
  // The bundle's engines by graph. Without any, the runtime computes the ONNX graphs.
  std::map<std::string, EngineSpec> engines;
  // With the provider by its short name.
  EngineOptions options;
};

// A config error for a name that is not known, an engine that this build or the bundle lacks, or a provider that the
// engine does not have.
EngineChoice choose_engine(const std::string& folder, const Manifest& manifest, const EngineOptions& options);

// Open a graph of the whole picture's path: the front end in ONNX Runtime, encoders with what was chosen.
std::unique_ptr<Engine> open_engine(const std::string& folder, const Manifest& manifest, const std::string& graph,
                                    const EngineChoice& choice);

}  // namespace cavsync
