// Audio without a long hole, placed on an absolute 16 kHz clock and embedded at the requested grid instants.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "audio_encoder.h"
#include "timeline.h"

namespace cavsync {

// Instant j is the segment that starts at log-mel frame j * hop_frames; sample 0 is time 0 of the stream, and j may be
// negative. Each log-mel frame is computed once, and each instant is embedded once, when a video frame needs it.
class AudioStretch {
 public:
  AudioStretch(std::shared_ptr<const AudioEncoder> encoder, int hop_frames, std::int64_t start_sample, int epoch);

  int epoch() const { return epoch_; }
  std::int64_t first_instant() const { return embeddings_.first(); }
  // First instant whose audio has not arrived in full.
  std::int64_t end_instant() const;
  std::int64_t num_samples() const { return samples_.end() - samples_.first(); }
  std::int64_t first_sample() const { return samples_.first(); }
  std::int64_t end_sample() const { return samples_.end(); }

  // Put samples at `place`: a gap counts as missing audio; where they overlap older ones, the older stay.
  void append(const std::vector<float>& samples, std::int64_t place);
  // Embed the instants `wanted` (ascending) whose audio is present and that are not embedded yet.
  void embed(const std::vector<std::int64_t>& wanted);
  // Embeddings (stop - start, D) of instants [start, stop); NaN where missing.
  std::vector<float> embeddings(std::int64_t start, std::int64_t stop) const { return embeddings_.read(start, stop); }
  // Level of the instant's segment in dB relative to a full-scale square wave; NaN where audio is missing.
  double level_dbfs(std::int64_t instant) const;
  // Release the instants before `instant` and the samples that only they need.
  void drop_before(std::int64_t instant);
  // Release the oldest samples and the instants that need them.
  void drop_samples(std::int64_t count);

 private:
  bool is_usable(std::int64_t instant) const;
  std::vector<float> span(std::int64_t instant) const;
  std::vector<float> embedded(const std::vector<std::int64_t>& instants) const;
  void hear_until(std::int64_t stop);

  std::shared_ptr<const AudioEncoder> encoder_;
  int epoch_;
  int segment_frames_;
  int hop_frames_;
  std::int64_t hop_samples_;
  std::int64_t span_samples_;
  // Missing samples are NaN.
  Timeline<float> samples_, log_mel_, embeddings_;
};

}  // namespace cavsync
