// The verdict on a similarity curve: evidence, calibrated confidence, and comparison with the profile's limits.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "curve.h"
#include "manifest.h"
#include "profile.h"
#include "record.h"

namespace cavsync {

// Motion, audio level and frame period of a part of a stream, one entry per frame (NaN where unknown). There is no motion
// where something else shows whether anything moves.
struct Evidence {
  bool has_motion = true;
  std::vector<double> motion;
  std::vector<double> level_dbfs;
  std::vector<double> period_seconds;

  void add(double moved, double level, double period) {
    motion.push_back(moved);
    level_dbfs.push_back(level);
    period_seconds.push_back(period);
  }
  // Median time between frames; NaN with fewer than two frames.
  double frame_period_seconds() const;
};

struct TimeSpan {
  double time_seconds;    // where it ends
  double window_seconds;  // how long it is
};

// The decision on the part of a stream that ends at `span.time_seconds`. `resolution_floor_ms` is the resolution of the
// lag grid, where that is coarser than the calibration's; `lack` is a reason, known to the caller, why nothing can be
// measured.
Record judge(const Curve& curve, const Evidence& evidence, const std::optional<Calibration>& calibration,
             const Profile& profile, const TimeSpan& span, double resolution_floor_ms, const std::string& lack = "");

// Why so many frames and their audio can show nothing; empty if they can.
std::string lack_of_input(std::size_t num_frames, const Evidence& evidence);
// Why nothing can be measured; empty if something can.
std::string lack_of_evidence(const Curve& curve, const Evidence& evidence);

// The state of a trusted offset, and the reason where that is undetermined.
std::pair<cavsync_state, std::string> compare_with_limits(double offset_ms, double resolution_ms,
                                                          const Profile& profile, double frame_period_seconds);

}  // namespace cavsync
