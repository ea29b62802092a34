// An audio encoder with the front end before it, whichever path it belongs to.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace cavsync {

// Embeds segments of `segment_frames` log-mel frames. One that steps by `step_frames` (0 for one that does not) embeds
// each segment of a longer stretch for less than the segments cost one by one.
struct AudioEncoder {
  int segment_frames;
  int num_mel_bins;
  int embedding_dim;
  int step_frames;
  // 16 kHz samples (n) -> raw log-mel (frames, bins), frames = (n - 400) / 160 + 1.
  std::function<std::vector<float>(const std::vector<float>& waveform)> log_mel;
  // Raw log-mel (count, frames, bins) -> unit embeddings (count, moments, D): one moment for `segment_frames` frames,
  // and one more for each `step_frames` beyond.
  std::function<std::vector<float>(const std::vector<float>& log_mel, std::int64_t count, std::int64_t frames)> embed;
};

}  // namespace cavsync
