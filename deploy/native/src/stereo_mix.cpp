#include "stereo_mix.h"

#include <cmath>

#include "steady_clock.h"

namespace cavsync {

namespace {

// Two channels in opposite phase leave at most this share of their power in a mix; they count as such until their mix
// has a larger share again.
constexpr double kCancelledShare = 0.01, kRestoredShare = 0.04;

double power(const std::vector<float>& samples) {
  double energy = 0;
  for (const float sample : samples) energy += static_cast<double>(sample) * static_cast<double>(sample);
  return energy / static_cast<double>(samples.size());
}

}  // namespace

std::vector<float> StereoMix::mix(const float* stereo, std::size_t num_samples) {
  std::vector<float> mean(num_samples), difference(num_samples);
  for (std::size_t place = 0; place < num_samples; ++place) {
    mean[place] = 0.5F * (stereo[2 * place] + stereo[2 * place + 1]);
    difference[place] = 0.5F * (stereo[2 * place] - stereo[2 * place + 1]);
  }
  if (num_samples > 0) weigh(mean, difference);
  return is_opposite_ ? difference : mean;
}

void StereoMix::weigh(const std::vector<float>& mean, const std::vector<float>& difference) {
  const double seconds = static_cast<double>(mean.size()) / rate_hz_;
  const double kept = std::exp(-seconds / SteadyClock::kSettleSeconds);
  mean_power_ = kept * mean_power_ + (1 - kept) * power(mean);
  difference_power_ = kept * difference_power_ + (1 - kept) * power(difference);
  is_opposite_ = mean_power_ < (is_opposite_ ? kRestoredShare : kCancelledShare) * difference_power_;
  if (is_opposite_) cancelled_seconds_ += seconds;
}

}  // namespace cavsync
