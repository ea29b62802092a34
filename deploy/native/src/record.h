// One decision about a window or a whole stream.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "cavsync.h"

namespace cavsync {

struct Record {
  double time_seconds = 0;
  double window_seconds = 0;
  std::optional<double> audio_offset_ms;
  std::optional<double> offset_resolution_ms;
  std::optional<double> suggested_audio_delay_ms;
  std::optional<double> similarity;
  std::optional<double> confidence;
  cavsync_state state = CAVSYNC_UNDETERMINED;
  std::string profile;
  std::string reason;
  bool is_measured = false;
  bool is_varying = false;
};

}  // namespace cavsync
