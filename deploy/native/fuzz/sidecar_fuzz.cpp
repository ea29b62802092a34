// Sidecars of TensorRT engines: any text is a sidecar, which is compared with any machine, or a sentence.
#include <cstdint>
#include <string>

#include "json_record.h"
#include "tensorrt/library_messages.h"
#include "tensorrt/sidecar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  cavsync::first_reason({text});
  try {
    const cavsync::Sidecar sidecar = cavsync::sidecar_of_text(text);
    for (const char* capability : {"75", "89", "90", "121"}) cavsync::runs_on(sidecar, capability);
    cavsync::is_same_release(sidecar, text);
  } catch (const cavsync::UnfitError&) {
  }
  return 0;
}
