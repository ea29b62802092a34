#include "options.h"

#include <algorithm>
#include <cstring>

#include "enum_number.h"
#include "error.h"
#include "manifest_specs.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr double kFileLeadSeconds = 30.0;
constexpr double kFileGroupSeconds = 0.64;
constexpr std::size_t kBeginAfter = 2, kEndAfter = 3;

double number(const char* name, double given, double largest, double otherwise) {
  if (given == 0) return otherwise;
  if (!(given > 0 && given <= largest)) {
    throw config_error(format("%s is %g: give more than 0 and at most %g", name, given, largest));
  }
  return given;
}

void check_path(const Manifest& manifest, const cavsync_path& path) {
  const int number = number_of(path);
  if (number != CAVSYNC_PATH_AUTO && number != CAVSYNC_PATH_WHOLE && number != CAVSYNC_PATH_FACE) {
    throw config_error("path is unknown: use auto, whole or face");
  }
  if (path == CAVSYNC_PATH_FACE && !manifest.faces) {
    throw config_error("path is face, and the bundle " + plain(manifest.name) + " has no face path: use auto or whole");
  }
}

}  // namespace

Options options_for(const Manifest& manifest, const cavsync_options* given) {
  cavsync_options options;
  cavsync_options_init(&options);
  // The caller's structure may be older and shorter than this library's.
  if (given != nullptr) std::memcpy(&options, given, std::min(given->size, sizeof options));
  check_path(manifest, options.path);
  SyncSpec sync = manifest.sync;
  sync.window_seconds = number("window_seconds", options.window_seconds, kMaxWindowSeconds, sync.window_seconds);
  sync.max_offset_ms = number("max_offset_ms", options.max_offset_ms, kMaxOffsetMs, sync.max_offset_ms);
  sync.frame_rate_hz = number("frame_rate_hz", options.frame_rate_hz, kMaxFrameRateHz, sync.frame_rate_hz);
  sync.hop_ms = number("hop_ms", options.hop_ms, kMaxOffsetMs, sync.hop_ms);
  if (!is_whole_hop(sync.hop_ms))
    throw config_error(format("hop_ms is %g: give a multiple of %g ms", sync.hop_ms, kHopUnitMs));
  if (options.follows_events == 0 && (options.begin_after != 0 || options.end_after != 0)) {
    throw config_error("begin_after and end_after need follows_events: set that too");
  }
  const char* profile = options.profile == nullptr ? kDefaultProfile : options.profile;
  return {options.path != CAVSYNC_PATH_FACE,
          options.path != CAVSYNC_PATH_WHOLE && manifest.faces.has_value(),
          resolve_profile(profile, options.early_ms, options.late_ms), Grid(sync),
          number("max_lead_seconds", options.max_lead_seconds, kMaxWindowSeconds, kFileLeadSeconds),
          number("group_seconds", options.group_seconds, kMaxWindowSeconds, kFileGroupSeconds),
          options.keeps_summary != 0,
          options.adaptive != 0 && options.path != CAVSYNC_PATH_FACE,
          options.begin_after == 0 ? kBeginAfter : options.begin_after,
          options.end_after == 0 ? kEndAfter : options.end_after,
          options.follows_events != 0};
}

}  // namespace cavsync
