// The audio of one stream, robust to gaps and clock resets: stretches of audio in epochs of its clock.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "audio_stretch.h"
#include "clock.h"
#include "steady_clock.h"

namespace cavsync {

// A hole longer than kHoleSeconds begins a new stretch, a clock that is set back a new epoch. At most `keep_seconds`
// of audio are kept; the oldest is released first.
class AudioTrack {
 public:
  AudioTrack(std::shared_ptr<const AudioEncoder> encoder, int hop_frames, double keep_seconds);

  EpochClock& clock() { return clock_; }
  bool is_finished() const { return is_finished_; }
  // Timestamp at the end of the audio; minus infinity before the first sample.
  double end_seconds() const;

  // Place 16 kHz samples on the clock; jitter of the timestamps does not cut the audio.
  void push(const std::vector<float>& samples, double pts_seconds);
  // Whether each instant before `stop` of an epoch has arrived or can no longer arrive.
  bool has(int epoch, std::int64_t stop) const;
  // Whether a stretch of this epoch reaches from a timestamp to the instant `stop`. It may begin up to kPatienceSeconds
  // after the timestamp: the tracks need not begin together.
  bool covers(int epoch, double seconds, std::int64_t stop) const;
  void embed(int epoch, const std::vector<std::int64_t>& wanted);
  // Embeddings (stop - start, D) of instants [start, stop); NaN where missing.
  std::vector<float> embeddings(int epoch, std::int64_t start, std::int64_t stop) const;
  double level_dbfs(int epoch, std::int64_t instant) const;
  // Release all earlier epochs and, of this epoch, the instants before `instant`.
  void drop_before(int epoch, std::int64_t instant);
  void finish() { is_finished_ = true; }

 private:
  void resume(double pts_seconds);
  void limit();

  std::shared_ptr<const AudioEncoder> encoder_;
  int hop_frames_;
  std::int64_t keep_samples_;
  std::deque<AudioStretch> stretches_;
  SteadyClock steady_{0.0};
  EpochClock clock_;
  bool is_finished_ = false;
};

}  // namespace cavsync
