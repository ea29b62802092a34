#include "onnx_environment.h"

#include <onnxruntime_cxx_api.h>

#include <cstdlib>

namespace cavsync {

namespace {

// Values of the arena's settings: no limit, chunks as large as they are asked for (in place of powers of two), a small
// first one, and the runtime's own choice of what may stay unused in a chunk.
constexpr std::size_t kNoLimit = 0;
constexpr int kAsRequested = 1;
constexpr int kFirstChunkBytes = 1 << 16;
constexpr int kDefault = -1;

}  // namespace

Ort::Env& onnx_environment() {
  static Ort::Env env = [] {
    // Opening a bundle must not write or send anything, and this runtime's official builds would.
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    Ort::Env made(ORT_LOGGING_LEVEL_FATAL, "cavsync");
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::ArenaCfg arena(kNoLimit, kAsRequested, kFirstChunkBytes, kDefault);
    made.CreateAndRegisterAllocator(memory, arena);
    return made;
  }();
  return env;
}

void share_memory(Ort::SessionOptions& session_options) {
  session_options.AddConfigEntry("session.use_env_allocators", "1");
  session_options.AddConfigEntry("session.use_device_allocator_for_initializers", "1");
}

}  // namespace cavsync
