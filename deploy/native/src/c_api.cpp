// The C interface over the classes: checks of pointers and sizes, errors as statuses, copies of results.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <new>

#include "bundle.h"
#include "cavsync.h"
#include "engines.h"
#include "error.h"
#include "onnx_engine.h"
#include "onnx_providers.h"
#include "scorer.h"

struct cavsync_bundle {
  std::shared_ptr<const cavsync::Bundle> bundle;
};

struct cavsync_scorer {
  cavsync::Scorer scorer;
};

namespace {

using cavsync::argument_error;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
thread_local std::string last_error;

// Run `action`; its exceptions become a status and the thread's last error.
template <class Action>
cavsync_status guarded(Action action) {
  try {
    last_error.clear();
    action();
    return CAVSYNC_OK;
  } catch (const cavsync::Error& error) {
    last_error = error.what();
    return error.status();
  } catch (const std::bad_alloc&) {
    last_error = "there is not enough memory";
    return CAVSYNC_ERROR_MEMORY;
  } catch (const std::exception& error) {
    last_error = std::string("a defect of cavsync: ") + error.what();
    return CAVSYNC_ERROR_INTERNAL;
  } catch (...) {
    last_error = "a defect of cavsync";
    return CAVSYNC_ERROR_INTERNAL;
  }
}

template <class... Pointers>
void require(Pointers... pointers) {
  if (!(pointers && ...)) throw argument_error("a required pointer is null: give an object");
}

// Sizes of structures in the first version of this interface.
constexpr std::size_t kFirstBundleOptionsSize = offsetof(cavsync_bundle_options, engine);
constexpr std::size_t kFirstSummarySize = offsetof(cavsync_summary, face_share);
constexpr std::size_t kFirstInfoSize = offsetof(cavsync_bundle_info, face_audio_encoder);

template <class Structure>
void require_size(const Structure& structure, std::size_t least = sizeof(Structure)) {
  if (structure.size < least) {
    throw argument_error(
        "a structure has another size than this library's: fill it with its init function, and build with "
        "the header of this library");
  }
}

template <class Structure>
void init(Structure* structure, std::size_t size = sizeof(Structure)) {
  if (structure == nullptr) return;
  std::memset(static_cast<void*>(structure), 0, size);
  structure->size = size;
}

// Copy as much as the caller's structure has room for.
template <class Structure>
void fill(Structure* structure, Structure found) {
  found.size = structure->size;
  std::memcpy(static_cast<void*>(structure), &found, std::min(structure->size, sizeof found));
}

template <std::size_t size>
void copy_text(const std::string& text, char (&target)[size]) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(target, text.data(), length);
  target[length] = '\0';
}

cavsync_record copied(const cavsync::Record& record) {
  cavsync_record found{};
  found.time_seconds = record.time_seconds;
  found.window_seconds = record.window_seconds;
  found.audio_offset_ms = record.audio_offset_ms.value_or(kNaN);
  found.offset_resolution_ms = record.offset_resolution_ms.value_or(kNaN);
  found.suggested_audio_delay_ms = record.suggested_audio_delay_ms.value_or(kNaN);
  found.similarity = record.similarity.value_or(kNaN);
  found.confidence = record.confidence.value_or(kNaN);
  found.state = record.state;
  found.within_profile = record.state == CAVSYNC_UNDETERMINED ? -1 : record.state == CAVSYNC_IN_SYNC;
  found.path = record.path;
  found.is_measured = record.is_measured;
  copy_text(record.profile, found.profile);
  copy_text(record.reason, found.reason);
  return found;
}

}  // namespace

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

const char* cavsync_last_error(void) { return last_error.c_str(); }

const char* cavsync_state_name(cavsync_state state) {
  switch (state) {
    case CAVSYNC_IN_SYNC: return "in_sync";
    case CAVSYNC_AUDIO_EARLY: return "audio_early";
    case CAVSYNC_AUDIO_LATE: return "audio_late";
    case CAVSYNC_UNDETERMINED: break;
  }
  return "undetermined";
}

void cavsync_options_init(cavsync_options* options) {
  init(options);
  if (options != nullptr) options->early_ms = options->late_ms = kNaN;
}

void cavsync_frame_init(cavsync_frame* frame) { init(frame); }

// In brackets, so that the macros of the same names do not apply.
void(cavsync_bundle_options_init)(cavsync_bundle_options* options) { init(options, kFirstBundleOptionsSize); }

void(cavsync_summary_init)(cavsync_summary* summary) { init(summary, kFirstSummarySize); }

void(cavsync_bundle_info_init)(cavsync_bundle_info* info) { init(info, kFirstInfoSize); }

void cavsync_bundle_options_init_sized(cavsync_bundle_options* options, size_t size) { init(options, size); }

void cavsync_summary_init_sized(cavsync_summary* summary, size_t size) { init(summary, size); }

void cavsync_bundle_info_init_sized(cavsync_bundle_info* info, size_t size) { init(info, size); }

cavsync_status cavsync_bundle_open(const char* path, const cavsync_bundle_options* options, cavsync_bundle** bundle) {
  return guarded([&] {
    require(path, bundle);
    *bundle = nullptr;
    cavsync::EngineOptions engine;
    if (options != nullptr) {
      // The caller's structure may be older and shorter than this library's.
      require_size(*options, kFirstBundleOptionsSize);
      cavsync_bundle_options given{};
      std::memcpy(&given, options, std::min(options->size, sizeof given));
      if (given.threads < 0) throw cavsync::config_error("threads is negative: give 0 or more");
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

cavsync_status cavsync_scorer_create(const cavsync_bundle* bundle, const cavsync_options* options,
                                     cavsync_scorer** scorer) {
  return guarded([&] {
    require(bundle, scorer);
    *scorer = nullptr;
    if (options != nullptr) require_size(*options);
    *scorer = new cavsync_scorer{{bundle->bundle, cavsync::options_for(bundle->bundle->manifest(), options)}};
  });
}

void cavsync_scorer_destroy(cavsync_scorer* scorer) { delete scorer; }

cavsync_status cavsync_scorer_push_video(cavsync_scorer* scorer, const cavsync_frame* frame, double pts_seconds) {
  return guarded([&] {
    require(scorer, frame);
    require_size(*frame);
    scorer->scorer.push_video(*frame, pts_seconds);
  });
}

cavsync_status cavsync_scorer_push_audio(cavsync_scorer* scorer, const void* samples, cavsync_sample_format format,
                                         size_t num_samples, int32_t num_channels, int32_t sample_rate_hz,
                                         double pts_seconds) {
  return guarded([&] {
    require(scorer);
    if (num_samples > 0) require(samples);
    scorer->scorer.push_audio({samples, format, num_samples, num_channels, sample_rate_hz, pts_seconds});
  });
}

cavsync_status cavsync_scorer_process(cavsync_scorer* scorer, cavsync_record* records, size_t capacity,
                                      size_t* num_records) {
  return guarded([&] {
    require(scorer, num_records);
    *num_records = 0;
    if (capacity > 0) require(records);
    for (const cavsync::Record& record : scorer->scorer.process(capacity)) records[(*num_records)++] = copied(record);
  });
}

cavsync_status cavsync_scorer_drop_oldest(cavsync_scorer* scorer, double keep_seconds, size_t* num_dropped) {
  return guarded([&] {
    require(scorer, num_dropped);
    *num_dropped = 0;
    if (!(keep_seconds >= 0)) throw argument_error("keep_seconds is negative or no number: give 0 or more");
    *num_dropped = scorer->scorer.drop_oldest(keep_seconds);
  });
}

cavsync_status cavsync_scorer_flush(cavsync_scorer* scorer) {
  return guarded([&] {
    require(scorer);
    scorer->scorer.flush();
  });
}

cavsync_status cavsync_scorer_reset(cavsync_scorer* scorer) {
  return guarded([&] {
    require(scorer);
    scorer->scorer.reset();
  });
}

cavsync_status cavsync_scorer_summarise(cavsync_scorer* scorer, cavsync_summary* summary, cavsync_event* events,
                                        size_t capacity) {
  return guarded([&] {
    require(scorer, summary);
    require_size(*summary, kFirstSummarySize);
    if (capacity > 0) require(events);
    const cavsync::Summary found = scorer->scorer.summary();
    cavsync_summary filled{};
    filled.score = copied(found.score);
    filled.early_limit_ms = found.limits.early_ms;
    filled.late_limit_ms = found.limits.late_ms;
    filled.duration_seconds = found.duration_seconds;
    filled.drift_ms_per_minute = found.drift_ms_per_minute.value_or(kNaN);
    filled.worst_offset_ms = found.worst_offset_ms.value_or(kNaN);
    filled.undetermined_share = found.undetermined_share;
    filled.num_windows = found.num_windows;
    filled.num_ignored_frames = found.num_ignored_frames;
    filled.num_events = found.events.size();
    filled.is_varying = found.score.is_varying;
    filled.face_share = found.face_share;
    filled.num_faces = found.num_faces;
    fill(summary, filled);
    std::copy_n(found.events.begin(), std::min(capacity, found.events.size()), events);
  });
}
