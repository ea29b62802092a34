// A sample clock that separates jitter of timestamps from breaks.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

namespace cavsync {

class SteadyClock {
 public:
  explicit SteadyClock(double start_seconds) : next_seconds_(start_seconds) {}

  // The time at which the next piece continues without a break.
  double next_seconds() const { return next_seconds_; }

  // Whether a piece at `pts_seconds` continues without a break: not far off, nor displaced for long.
  bool follows(double pts_seconds) const {
    return std::abs(pts_seconds - next_seconds_) <= kBreakSeconds &&
           std::abs(displacement_seconds_) <= kDisplacedSeconds;
  }

  // Add a piece; one without a timestamp leaves the estimate of the displacement as it is.
  void advance(std::optional<double> pts_seconds, double duration_seconds) {
    if (pts_seconds) {
      const double share = std::min(1.0, duration_seconds / kSettleSeconds);
      displacement_seconds_ += share * (*pts_seconds - next_seconds_ - displacement_seconds_);
    }
    next_seconds_ += duration_seconds;
  }

  // Duration over which displacement, and the phase of stereo, are averaged.
  static constexpr double kSettleSeconds = 1.0;

 private:
  // Largest error of a single timestamp; lost packets and edits exceed it.
  static constexpr double kBreakSeconds = 0.03;
  // Largest mean error over about a second: rounding averages out, a displacement does not.
  static constexpr double kDisplacedSeconds = 0.005;

  double next_seconds_;
  double displacement_seconds_ = 0.0;
};

}  // namespace cavsync
