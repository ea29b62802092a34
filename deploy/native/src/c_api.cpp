// The C interface over the classes: checks of pointers and sizes, errors as statuses, copies of results. Scorers have a
// file of their own.
#include <map>
#include <mutex>

#include "c_api_common.h"
#include "engines.h"
#include "onnx_engine.h"
#include "onnx_providers.h"

using namespace cavsync;

namespace {

// More than any machine has cores; far more would exhaust the memory with their stacks.
constexpr int kMaxThreads = 1'024;

thread_local std::string last_error_text;
thread_local const char* last_error = "";

}  // namespace

void cavsync::set_last_error(const char* sentence, const char* before) noexcept {
  try {
    last_error_text.assign(before).append(sentence);
    last_error = last_error_text.c_str();
  } catch (const std::bad_alloc&) {
    last_error = kNoMemory;
  }
}

int cavsync_abi_version(void) { return CAVSYNC_ABI_VERSION; }

const char* cavsync_version(void) { return CAVSYNC_VERSION; }

const char* cavsync_runtime_version(void) {
  static const std::string version = cavsync::onnx_runtime_version();
  return version.c_str();
}

const char* cavsync_engine_name(size_t number) {
  const auto& engines = cavsync::built_engines();
  return number < engines.size() ? engines[number].name.c_str() : nullptr;
}

const char* cavsync_engine_version(size_t number) {
  static std::mutex mutex;
  static std::map<size_t, std::string> versions;
  const auto& engines = cavsync::built_engines();
  if (number >= engines.size()) return nullptr;
  const std::lock_guard lock(mutex);
  std::string& version = versions[number];
  if (version.empty()) version = engines[number].version();
  return version.c_str();
}

const char* cavsync_provider_name(size_t number) {
  const auto& names = cavsync::provider_names();
  return number < names.size() ? names[number].c_str() : nullptr;
}

const char* cavsync_last_error(void) { return last_error; }

const char* cavsync_state_name(cavsync_state state) {
  switch (state) {
    case CAVSYNC_IN_SYNC: return "in_sync";
    case CAVSYNC_AUDIO_EARLY: return "audio_early";
    case CAVSYNC_AUDIO_LATE: return "audio_late";
    case CAVSYNC_UNDETERMINED: break;
  }
  return "undetermined";
}

void cavsync_frame_init(cavsync_frame* frame) { init(frame); }

// In brackets, so that the macros of the same names do not apply.
void(cavsync_options_init)(cavsync_options* options) { cavsync_options_init_sized(options, kFirstOptionsSize); }

void(cavsync_bundle_options_init)(cavsync_bundle_options* options) { init(options, kFirstBundleOptionsSize); }

void(cavsync_summary_init)(cavsync_summary* summary) { init(summary, kFirstSummarySize); }

void(cavsync_bundle_info_init)(cavsync_bundle_info* info) { init(info, kFirstInfoSize); }

void cavsync_options_init_sized(cavsync_options* options, size_t size) {
  init(options, size);
  if (options != nullptr) options->early_ms = options->late_ms = kNaN;
}

void cavsync_bundle_options_init_sized(cavsync_bundle_options* options, size_t size) { init(options, size); }

void cavsync_summary_init_sized(cavsync_summary* summary, size_t size) { init(summary, size); }

void cavsync_bundle_info_init_sized(cavsync_bundle_info* info, size_t size) { init(info, size); }

cavsync_status cavsync_bundle_open(const char* path, const cavsync_bundle_options* options, cavsync_bundle** bundle) {
  return guarded([&] {
    clear(bundle);
    require(path, bundle);
    cavsync::EngineOptions engine;
    if (options != nullptr) {
      // The caller's structure may be older and shorter than this library's.
      require_known(*options, kFirstBundleOptionsSize);
      cavsync_bundle_options given{};
      std::memcpy(&given, options, std::min(options->size, sizeof given));
      if (given.threads < 0 || given.threads > kMaxThreads) {
        throw config_error(format("threads is %d: give 0 to %d", given.threads, kMaxThreads));
      }
      if (given.provider != nullptr) engine.provider = given.provider;
      if (given.engine != nullptr) engine.engine = given.engine;
      engine.threads = given.threads;
      engine.device = given.device;
    }
    *bundle = new cavsync_bundle{cavsync::Bundle::open(path, engine)};
  });
}

void cavsync_bundle_close(cavsync_bundle* bundle) { delete bundle; }

cavsync_status cavsync_bundle_describe(const cavsync_bundle* bundle, cavsync_bundle_info* info) {
  return guarded([&] {
    require(bundle, info);
    require_size(*info, kFirstInfoSize);
    const cavsync::Manifest& manifest = bundle->bundle->manifest();
    const auto hash = [&](const cavsync::GraphSpec& graph) {
      return manifest.files.at(graph.file).sha256.substr(0, 12);
    };
    cavsync_bundle_info found{};
    copy_text(manifest.name, found.name);
    copy_text(manifest.precision, found.precision);
    copy_text(hash(manifest.graphs.at(cavsync::kAudioEncoder)), found.audio_encoder);
    copy_text(hash(manifest.graphs.at(cavsync::kVisualEncoder)), found.visual_encoder);
    found.has_faces = manifest.faces.has_value();
    if (manifest.faces) {
      copy_text(hash(manifest.faces->graphs.at(cavsync::kFaceAudioEncoder)), found.face_audio_encoder);
      copy_text(hash(manifest.faces->graphs.at(cavsync::kFaceVisualEncoder)), found.face_visual_encoder);
    }
    found.window_seconds = manifest.sync.window_seconds;
    found.decision_step_seconds = manifest.sync.decision_step_seconds;
    found.max_offset_ms = manifest.sync.max_offset_ms;
    copy_text(bundle->bundle->engine(), found.engine);
    copy_text(bundle->bundle->provider(), found.provider);
    fill(info, found);
  });
}
