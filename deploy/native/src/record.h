// One decision about a window or a whole stream.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "cavsync.h"
#include "faces/face_view.h"

namespace cavsync {

// The face that speaks for all in a window whose offset it decided on, and how sure it is.
struct FaceVote {
  int track;
  double confidence;
};

struct Record {
  double time_seconds = 0;
  double window_seconds = 0;
  std::optional<double> audio_offset_ms;
  std::optional<double> offset_resolution_ms;
  std::optional<double> suggested_audio_delay_ms;
  std::optional<double> similarity;
  std::optional<double> confidence;
  // Where the highest point of the curve is, refined between lags.
  std::optional<double> peak_lag_ms;
  cavsync_state state = CAVSYNC_UNDETERMINED;
  std::string profile;
  std::string reason;
  // What the decision rests on.
  cavsync_path path = CAVSYNC_PATH_WHOLE;
  bool is_measured = false;
  bool is_varying = false;
  std::optional<FaceVote> vote;
  // The face that speaks for all, whatever the decision rests on; nothing where none is judged.
  std::optional<FaceView> face;
};

}  // namespace cavsync
