// A build without TensorRT: `choose_engine` refuses the engine by name, so that nothing is opened here.
#include "error.h"
#include "tensorrt/tensorrt_engine.h"

namespace cavsync {

std::string tensorrt_runtime() { return ""; }

std::string tensorrt_version() { return ""; }

std::optional<std::string> compute_capability_of(int) { return std::nullopt; }

std::unique_ptr<Engine> open_tensorrt(const std::string&, const GraphSpec&, const EngineSpec&, int) {
  throw config_error("no TensorRT engine is in this libcavsync: build it with an SDK of TensorRT (-DTENSORRT_ROOT)");
}

}  // namespace cavsync
