// Pushed audio of any rate, number of channels and type, checked and converted to 16 kHz mono.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cavsync.h"
#include "mono_resampler.h"
#include "rate_check.h"

namespace cavsync {

// Interleaved samples as the C interface takes them.
struct PushedAudio {
  const void* samples;
  // Of cavsync_sample_format, or any other.
  int format;
  std::size_t num_samples;
  int num_channels;
  int rate_hz;
  double pts_seconds;
};

// Channels are averaged; of two that cancel (opposite phase) the difference is taken.
class AudioInput {
 public:
  // Check and convert one piece. A media error for samples that are not finite, a rate out of range, or timestamps that
  // contradict the rate.
  std::vector<AudioChunk> push(const PushedAudio& audio);
  // The samples that the resampling filter still holds.
  std::vector<AudioChunk> flush();

 private:
  std::vector<float> mixed(const std::vector<float>& samples, int num_channels, int rate_hz);
  std::vector<AudioChunk> converted(std::vector<float> mono, double pts_seconds, int rate_hz);

  std::unique_ptr<MonoResampler> resampler_;
  std::optional<StereoMix> stereo_;
  int stereo_rate_hz_ = 0;
  RateCheck rate_check_;
};

}  // namespace cavsync
