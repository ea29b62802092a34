// The walk through serialised graphs that comes before a runtime opens them.
#include <cstdint>
#include <string>

#include "error.h"
#include "self_contained.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    cavsync::check_self_contained("graph.onnx", std::string(reinterpret_cast<const char*>(data), size));
  } catch (const cavsync::Error&) {
  }
  return 0;
}
