// Drops isolated timestamp outliers, so that a damaged packet is not mistaken for a clock jump.
#pragma once

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "stream_limits.h"

namespace cavsync {

// No audio packet of a common codec is longer.
constexpr double kLongestPacketSeconds = 0.2;

template <class Piece>
struct Timed {
  double pts_seconds;
  Piece piece;
};

// Holds pieces back whose timestamps jump until those after them show whether the clock or only these jumped. What
// jumps for at most `longest_seconds` and is followed by a piece in line with those before it is dropped.
template <class Piece>
class StrayFilter {
 public:
  explicit StrayFilter(double longest_seconds) : longest_seconds_(longest_seconds) {}

  std::size_t num_dropped() const { return num_dropped_; }

  // Add a piece that lasts `length_seconds`; return the accepted pieces.
  std::vector<Timed<Piece>> push(double pts_seconds, double length_seconds, Piece piece) {
    const double end_seconds = pts_seconds + length_seconds;
    std::vector<Timed<Piece>> passed;
    const bool follows_held = !held_.empty() && std::abs(pts_seconds - held_end_seconds_) < kFollowsSeconds;
    if (!held_.empty() && !follows_held && !is_in_line(pts_seconds)) passed = flush();
    if (!follows_held && is_in_line(pts_seconds)) {
      num_dropped_ += held_.size();
      held_.clear();
      expected_seconds_ = end_seconds;
      passed.push_back({pts_seconds, std::move(piece)});
      return passed;
    }
    if (follows_held && length_seconds == 0 && pts_seconds == held_end_seconds_) {
      // A frame at the time of the one before it would be ignored later on; a clock that stands still must not fill the
      // memory.
      ++num_dropped_;
      return passed;
    }
    held_.push_back({pts_seconds, std::move(piece)});
    held_end_seconds_ = end_seconds;
    if (end_seconds - held_.front().pts_seconds > longest_seconds_) {
      for (Timed<Piece>& released : flush()) passed.push_back(std::move(released));
    }
    return passed;
  }

  // Release the held pieces, if any, and trust their timestamps.
  std::vector<Timed<Piece>> flush() {
    std::vector<Timed<Piece>> passed;
    passed.swap(held_);
    if (!passed.empty()) expected_seconds_ = held_end_seconds_;
    return passed;
  }

 private:
  // After a real clock jump, each next piece begins within this distance of the end of the last.
  static constexpr double kFollowsSeconds = 0.5;

  bool is_in_line(double pts_seconds) const {
    if (!expected_seconds_) return true;
    const double ahead_seconds = pts_seconds - *expected_seconds_;
    return -kJumpBackSeconds < ahead_seconds && ahead_seconds <= kHoleSeconds;
  }

  double longest_seconds_;
  std::optional<double> expected_seconds_;
  std::vector<Timed<Piece>> held_;
  double held_end_seconds_ = 0.0;
  std::size_t num_dropped_ = 0;
};

}  // namespace cavsync
