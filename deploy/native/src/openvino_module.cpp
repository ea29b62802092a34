#include "openvino_module.h"

#include "openvino_engine.h"

const cavsync::OpenVinoModule* cavsync_openvino_module() {
  static const cavsync::OpenVinoModule module{cavsync::open_openvino, cavsync::openvino_version};
  return &module;
}
