// Two channels made one.
#pragma once

#include <vector>

namespace cavsync {

// The mean of two channels, or half their difference while they cancel in the mean (opposite phase). What counts is the
// power of both over about a second, so that the choice does not flicker.
class StereoMix {
 public:
  explicit StereoMix(int sample_rate_hz) : rate_hz_(sample_rate_hz) {}

  // Mix interleaved samples (n, 2) to (n).
  std::vector<float> mix(const float* stereo, std::size_t num_samples);
  // Duration of the audio that the mean would have lost.
  double cancelled_seconds() const { return cancelled_seconds_; }

 private:
  void weigh(const std::vector<float>& mean, const std::vector<float>& difference);

  int rate_hz_;
  double mean_power_ = 0, difference_power_ = 0;
  bool is_opposite_ = false;
  double cancelled_seconds_ = 0;
};

}  // namespace cavsync
