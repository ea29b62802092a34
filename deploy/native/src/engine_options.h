// What computes the graphs of a bundle, as the caller asks for it.
#pragma once

#include <string>

namespace cavsync {

struct EngineOptions {
  // What computes the encoders: "auto", or a runtime, optionally with a precision, as in "openvino:int8".
  std::string engine = "onnxruntime";
  // Execution provider of ONNX Runtime, and the number of its GPU.
  std::string provider = "cpu";
  int device = 0;
  int threads = 0;
};

}  // namespace cavsync
