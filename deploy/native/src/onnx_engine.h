// Graphs in ONNX Runtime.
#pragma once

#include <memory>
#include <string>

#include "engine.h"
#include "engine_options.h"
#include "manifest.h"

namespace cavsync {

// Open a graph of the bundle folder. A bundle error if its file differs from the manifest, points at other files or is
// not a valid graph; a config error for a provider that cannot be used here.
std::unique_ptr<Engine> open_onnx(const std::string& folder, const GraphSpec& spec, const FileEntry& entry,
                                  const EngineOptions& options);

std::string onnx_runtime_version();

}  // namespace cavsync
