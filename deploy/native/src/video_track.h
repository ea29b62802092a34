// The small frames of one stream, gathered into tubelets and returned in groups of instants.
#pragma once

#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "bundle.h"
#include "clock.h"

namespace cavsync {

// One scored moment of the video: the frame at `time_seconds` in epoch `epoch` of the frames' clock. `motion` is the
// largest mean absolute difference, in 8-bit levels, between two consecutive frames since the previous instant;
// `period_seconds` is the time since the previous frame, NaN for the first one and after a hole; `elapsed_seconds`
// counts up from the first frame, a long hole and a clock set back as kJumpSeconds each.
struct VisualInstant {
  double time_seconds;
  int epoch;
  double elapsed_seconds;
  double motion;
  double period_seconds;
};

// Instants are timestamps of real frames, at most `frame_rate_hz` of them per second, so that variable frame rates are
// handled correctly. Groups have a fixed length, so results do not depend on when frames were pushed.
class VideoTrack {
 public:
  VideoTrack(const Manifest& manifest, double frame_rate_hz, std::size_t group_instants);

  EpochClock& clock() { return clock_; }
  std::optional<double> first_seconds() const { return first_seconds_; }
  // Timestamp of the latest frame; minus infinity before the first.
  double last_seconds() const;
  double progress_seconds() const { return clock_.progress(last_seconds()); }
  double elapsed_seconds() const { return elapsed_seconds_; }
  double period_seconds() const { return period_seconds_; }
  std::size_t num_ignored() const { return num_ignored_; }

  // Add the resized frame shown from `pts_seconds` on; return whether it was accepted. A frame not later than the previous
  // one is ignored, unless the clock was set back by at least kJumpBackSeconds.
  bool push(std::vector<std::uint8_t> pixels, double pts_seconds);
  // End the video: the last frame takes the place of missing ones in the last tubelets.
  void finish();
  // Take the next group of instants, all of one epoch; empty while the group is not complete. Its tubelets are available
  // until the next group is taken.
  std::vector<VisualInstant> take_group();
  std::vector<Tubelet> tubelets(const std::vector<VisualInstant>& group) const;

 private:
  // The resized frames of one epoch that tubelets may still need.
  struct Epoch {
    int number;
    double first_seconds;
    double last_seconds = -std::numeric_limits<double>::infinity();
    double next_slot = 0;
    bool is_closed = false;
    std::deque<double> times;
    std::deque<FramePointer> frames;
  };

  double wanted_seconds(double time_seconds, int place) const;
  void add(Epoch& epoch, FramePointer frame, double pts_seconds);
  void forget(Epoch& epoch);

  int num_frames_;
  double frame_step_seconds_;
  double rate_hz_;
  std::size_t group_instants_;
  std::deque<Epoch> epochs_;
  std::deque<VisualInstant> due_;
  double motion_ = 0.0;
  EpochClock clock_;
  std::optional<double> first_seconds_;
  double elapsed_seconds_ = 0.0;
  double period_seconds_ = std::numeric_limits<double>::quiet_NaN();
  std::int64_t num_pushed_ = 0;
  std::size_t num_ignored_ = 0;
};

}  // namespace cavsync
