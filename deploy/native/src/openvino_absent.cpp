// A build without OpenVINO: `choose_engine` refuses the engine by name, so that nothing is opened here.
#include "error.h"
#include "openvino_engine.h"

namespace cavsync {

std::unique_ptr<Engine> open_openvino(const std::string&, const GraphSpec&, const EngineSpec*,
                                      const std::map<std::string, FileEntry>&, int) {
  throw config_error("engine openvino is not in this libcavsync: build it with OpenVINO (-DCAVSYNC_OPENVINO=ON)");
}

bool has_openvino() { return false; }

std::string openvino_version() { return ""; }

}  // namespace cavsync
