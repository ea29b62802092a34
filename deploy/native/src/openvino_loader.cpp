// OpenVINO in a module beside this library, loaded by whoever first asks for it: nobody else pays for its library with
// memory and time, or needs it on the machine.
#include <dlfcn.h>

#include <stdexcept>

#include "error.h"
#include "openvino_engine.h"
#include "openvino_module.h"
#include "text.h"

namespace cavsync {

namespace {

// The file of the library or program that this code is in.
std::string own_path() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_path), &info) == 0 || info.dli_fname == nullptr) return "";
  return info.dli_fname;
}

const OpenVinoModule& module() {
  // Never closed, like OpenVINO's core. A failed attempt is repeated by the next call.
  static const OpenVinoModule* const only = [] {
    const std::string own = own_path();
    const std::string path = own.substr(0, own.find_last_of('/') + 1) + kOpenVinoModuleFile;
    void* const opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* const found = opened == nullptr ? nullptr : dlsym(opened, "cavsync_openvino_module");
    if (found == nullptr) {
      const char* const reason = dlerror();
      throw config_error("engine openvino cannot be loaded (" + plain(reason == nullptr ? path : reason) +
                         "): install OpenVINO where the loader finds it and the module beside libcavsync, or use the "
                         "engine onnxruntime");
    }
    return reinterpret_cast<decltype(&cavsync_openvino_module)>(found)();
  }();
  return *only;
}

}  // namespace

bool has_openvino() { return true; }

std::unique_ptr<Engine> open_openvino(const std::string& folder, const GraphSpec& spec, const EngineSpec* engine,
                                      const std::map<std::string, FileEntry>& files, int threads) {
  return module().open(folder, spec, engine, files, threads);
}

std::string openvino_version() {
  try {
    return module().version();
  } catch (const Error&) {
    return "";
  }
}

}  // namespace cavsync
