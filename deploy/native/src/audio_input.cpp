#include "audio_input.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "align.h"
#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr int kMinRateHz = 1'000;
constexpr int kMaxRateHz = 768'000;
constexpr int kMaxChannels = 1'024;
// Ten minutes at the highest rate; more in one piece is a mistaken length.
constexpr std::size_t kMaxValues = std::size_t{kMaxRateHz} * 600;
// What one piece may become at 16 kHz: libswresample counts in int, and has buffers of less than INT_MAX / 8 floats.
constexpr std::size_t kMaxResampled = std::size_t{1} << 27;
// Float audio may exceed full scale a little; values above this are unscaled integers.
constexpr float kMaxAmplitude = 100.0F;
constexpr double kMicrosecond = 1e-6;

void check_shape(const PushedAudio& audio) {
  if (audio.rate_hz < kMinRateHz || audio.rate_hz > kMaxRateHz) {
    throw media_error(
        format("the sample rate is %d: give a whole number from %d to %d Hz", audio.rate_hz, kMinRateHz, kMaxRateHz));
  }
  if (audio.num_channels < 1 || audio.num_channels > kMaxChannels) {
    throw media_error(format("the audio has %d channels: give 1 to %d", audio.num_channels, kMaxChannels));
  }
  if (audio.num_samples > kMaxValues / static_cast<std::size_t>(audio.num_channels)) {
    throw media_error(format("the audio has %zu samples in one piece: push shorter ones", audio.num_samples));
  }
  const auto rate_hz = static_cast<std::size_t>(audio.rate_hz);
  if (rate_hz != kSampleRateHz && audio.num_samples > kMaxResampled * rate_hz / kSampleRateHz) {
    throw media_error(format("the audio has %zu samples at %d Hz in one piece, at most %zu can be resampled at once: push "
                             "shorter ones",
                             audio.num_samples, audio.rate_hz, kMaxResampled * rate_hz / kSampleRateHz));
  }
}

std::vector<float> as_floats(const PushedAudio& audio) {
  const std::size_t size = audio.num_samples * static_cast<std::size_t>(audio.num_channels);
  std::vector<float> values(size);
  if (audio.format == CAVSYNC_S16) {
    const auto* samples = static_cast<const std::int16_t*>(audio.samples);
    std::transform(samples, samples + size, values.begin(),
                   [](std::int16_t sample) { return static_cast<float>(sample) / 32768.0F; });
  } else if (audio.format == CAVSYNC_F32) {
    const auto* samples = static_cast<const float*>(audio.samples);
    std::copy(samples, samples + size, values.begin());
  } else {
    throw argument_error("the sample format is unknown: give CAVSYNC_F32 or CAVSYNC_S16");
  }
  float largest = 0;
  for (const float value : values) {
    if (!std::isfinite(value))
      throw media_error("the audio holds NaN or infinite values: push finite samples in [-1, 1]");
    largest = std::max(largest, std::abs(value));
  }
  if (largest > kMaxAmplitude) {
    throw media_error(format("the audio reaches %.0f, full scale is 1: divide the samples by their range",
                             static_cast<double>(largest)));
  }
  return values;
}

}  // namespace

std::vector<AudioChunk> AudioInput::push(const PushedAudio& audio) {
  check_shape(audio);
  std::vector<float> mono = mixed(as_floats(audio), audio.num_channels, audio.rate_hz);
  rate_check_.add(audio.pts_seconds, static_cast<double>(mono.size()) / audio.rate_hz, audio.rate_hz);
  if (mono.empty()) return {};
  return converted(std::move(mono), audio.pts_seconds, audio.rate_hz);
}

std::vector<AudioChunk> AudioInput::flush() {
  std::vector<AudioChunk> chunks;
  if (resampler_) chunks = resampler_->flush();
  resampler_.reset();
  return chunks;
}

std::vector<float> AudioInput::mixed(const std::vector<float>& samples, int num_channels, int rate_hz) {
  if (num_channels == 1) return samples;
  const auto channels = static_cast<std::size_t>(num_channels);
  const std::size_t num_samples = samples.size() / channels;
  if (num_channels == 2) {
    if (!stereo_ || rate_hz != stereo_rate_hz_) stereo_.emplace(rate_hz);
    stereo_rate_hz_ = rate_hz;
    return stereo_->mix(samples.data(), num_samples);
  }
  std::vector<float> mean(num_samples, 0.0F);
  for (std::size_t place = 0; place < samples.size(); ++place) mean[place / channels] += samples[place];
  for (float& value : mean) value /= static_cast<float>(num_channels);
  return mean;
}

std::vector<AudioChunk> AudioInput::converted(std::vector<float> mono, double pts_seconds, int rate_hz) {
  if (rate_hz == kSampleRateHz) {
    std::vector<AudioChunk> chunks = flush();
    chunks.push_back({pts_seconds, std::move(mono)});
    return chunks;
  }
  if (!resampler_) resampler_ = std::make_unique<MonoResampler>();
  const AVChannelLayout layout = layout_of(AV_CH_LAYOUT_MONO);
  const auto* plane = reinterpret_cast<const std::uint8_t*>(mono.data());
  const double microseconds = std::nearbyint(pts_seconds / kMicrosecond);
  return resampler_->push(
      {rate_hz, &layout, AV_SAMPLE_FMT_FLT, &plane, static_cast<int>(mono.size()), microseconds / 1e6});
}

}  // namespace cavsync
