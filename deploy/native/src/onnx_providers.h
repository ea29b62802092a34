// Execution providers of ONNX Runtime.
#pragma once

#include <string>
#include <vector>

#include "engine_options.h"

namespace Ort {
struct SessionOptions;
}

namespace cavsync {

constexpr const char* kCpuProvider = "cpu";

// "cpu", "cuda" or "tensorrt", of these or ONNX Runtime's own names, as in "CUDAExecutionProvider"; a config error for
// any other.
std::string short_provider_name(const std::string& name);

// Of these, the ones that the ONNX Runtime here was built with. Whether they start, opening a graph shows.
const std::vector<std::string>& provider_names();

// Make a session compute on the provider of the options; a config error if it is not there or does not start.
void append_provider(Ort::SessionOptions& session_options, const EngineOptions& options);

}  // namespace cavsync
