// Graphs in OpenVINO, on the CPU.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine.h"
#include "manifest.h"

namespace cavsync {

// Whether this build has the engine. Its library is loaded by the first call of one of the functions below.
bool has_openvino();

// Open an encoder of the bundle folder: `engine`, an OpenVINO graph with its weights, in place of the ONNX graph
// `spec`, or that graph itself where `engine` is null. A bundle error if a file differs from the manifest or is not a
// valid graph; a config error if OpenVINO is not found or does not start. One inference at a time runs, on at most `threads` threads
// (0: as many as OpenVINO chooses).
std::unique_ptr<Engine> open_openvino(const std::string& folder, const GraphSpec& spec, const EngineSpec* engine,
                                      const std::map<std::string, FileEntry>& files, int threads);

// As in "2026.4.1"; empty where there is no OpenVINO.
std::string openvino_version();

}  // namespace cavsync
