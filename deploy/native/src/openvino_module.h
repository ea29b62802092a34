// What the module libcavsync_openvino.so gives to the libcavsync that it was built with.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine.h"
#include "manifest.h"

namespace cavsync {

// The functions of openvino_engine.h.
struct OpenVinoModule {
  std::unique_ptr<Engine> (*open)(const std::string& folder, const GraphSpec& spec, const EngineSpec* engine,
                                  const std::map<std::string, FileEntry>& files, int threads);
  std::string (*version)();
};

constexpr const char* kOpenVinoModuleFile = "libcavsync_openvino.so";

}  // namespace cavsync

extern "C" __attribute__((visibility("default"))) const cavsync::OpenVinoModule* cavsync_openvino_module();
