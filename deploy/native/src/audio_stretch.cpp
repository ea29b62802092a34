#include "audio_stretch.h"

#include <cmath>
#include <limits>

#include "align.h"
#include "stream_limits.h"

namespace cavsync {

namespace {
// Tolerates one lost packet of any common codec (at most 32 ms); a segment with longer gaps is not embedded.
constexpr double kToleratedGapSeconds = 0.05;
constexpr double kToleratedGapShare = 0.1;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
}  // namespace

AudioStretch::AudioStretch(std::shared_ptr<const AudioEncoder> encoder, int hop_frames, std::int64_t start_sample, int epoch)
    : encoder_(std::move(encoder)),
      epoch_(epoch),
      segment_frames_(encoder_->segment_frames),
      hop_frames_(hop_frames),
      hop_samples_(std::int64_t{hop_frames} * kFrameShiftSamples),
      span_samples_((segment_frames_ - 1) * kFrameShiftSamples + kFrameLengthSamples),
      samples_(1, kNaN, start_sample),
      log_mel_(static_cast<std::size_t>(encoder_->num_mel_bins), 0.0F,
               ceil_div(start_sample, hop_samples_) * hop_frames),
      embeddings_(static_cast<std::size_t>(encoder_->embedding_dim), kNaN, ceil_div(start_sample, hop_samples_)) {}

std::int64_t AudioStretch::end_instant() const {
  return std::max(first_instant(), floor_div(samples_.end() - span_samples_, hop_samples_) + 1);
}

void AudioStretch::append(const std::vector<float>& samples, std::int64_t place) {
  samples_.append_fill(place - samples_.end());
  const std::int64_t known =
      std::min(std::max<std::int64_t>(0, samples_.end() - place), static_cast<std::int64_t>(samples.size()));
  samples_.append(samples.data() + known, static_cast<std::int64_t>(samples.size()) - known);
}

void AudioStretch::embed(const std::vector<std::int64_t>& wanted) {
  const auto dim = static_cast<std::size_t>(encoder_->embedding_dim);
  std::vector<std::int64_t> usable;
  for (const std::int64_t instant : wanted) {
    if (instant < first_instant() || instant >= end_instant()) continue;
    embeddings_.append_fill(instant + 1 - embeddings_.end());
    if (std::isnan(embeddings_.read(instant, instant + 1).front()) && is_usable(instant)) usable.push_back(instant);
  }
  for (std::size_t start = 0; start < usable.size(); start += kGroupInstants) {
    const std::size_t stop = std::min(start + kGroupInstants, usable.size());
    hear_until(usable[stop - 1] * hop_frames_ + segment_frames_);
    const std::vector<std::int64_t> group(usable.begin() + static_cast<std::ptrdiff_t>(start),
                                          usable.begin() + static_cast<std::ptrdiff_t>(stop));
    const std::vector<float> found = embedded(group);
    for (std::size_t place = start; place < stop; ++place) {
      embeddings_.write(usable[place], found.data() + (place - start) * dim, 1);
    }
  }
}

// Embeddings (n, D) of instants in ascending order, whose log-mel is there.
std::vector<float> AudioStretch::embedded(const std::vector<std::int64_t>& instants) const {
  const int step = encoder_->step_frames;
  if (step == 0 || hop_frames_ % step != 0) {
    std::vector<float> segments;
    for (const std::int64_t instant : instants) {
      const std::vector<float> segment =
          log_mel_.read(instant * hop_frames_, instant * hop_frames_ + segment_frames_);
      segments.insert(segments.end(), segment.begin(), segment.end());
    }
    return encoder_->embed(segments, static_cast<std::int64_t>(instants.size()), segment_frames_);
  }
  const auto dim = static_cast<std::ptrdiff_t>(encoder_->embedding_dim);
  std::vector<float> embeddings;
  for (auto first = instants.begin(); first != instants.end();) {
    // Instants that follow each other are embedded as one stretch.
    auto last = first;
    while (last + 1 != instants.end() && *(last + 1) == *last + 1) ++last;
    const std::int64_t start = *first * hop_frames_, stop = *last * hop_frames_ + segment_frames_;
    const std::vector<float> found = encoder_->embed(log_mel_.read(start, stop), 1, stop - start);
    for (std::ptrdiff_t place = 0; place <= last - first; ++place) {
      const auto moment = found.begin() + place * (hop_frames_ / step) * dim;
      embeddings.insert(embeddings.end(), moment, moment + dim);
    }
    first = last + 1;
  }
  return embeddings;
}

double AudioStretch::level_dbfs(std::int64_t instant) const {
  if (instant < first_instant() || instant >= end_instant() || !is_usable(instant)) return kNaN;
  double energy = 0, count = 0;
  for (const float sample : span(instant)) {
    if (std::isnan(sample)) continue;
    energy += static_cast<double>(sample) * static_cast<double>(sample);
    ++count;
  }
  return 10 * std::log10(energy / count + 1e-20);
}

void AudioStretch::drop_before(std::int64_t instant) { drop_samples(instant * hop_samples_ - samples_.first()); }

void AudioStretch::drop_samples(std::int64_t count) {
  samples_.drop_before(samples_.first() + std::max<std::int64_t>(0, count));
  const std::int64_t first = ceil_div(samples_.first(), hop_samples_);
  log_mel_.drop_before(first * hop_frames_);
  // The embeddings must begin where the samples do, even if nothing was embedded up to there.
  embeddings_.append_fill(first - embeddings_.end());
  embeddings_.drop_before(first);
}

bool AudioStretch::is_usable(std::int64_t instant) const {
  const double tolerated =
      std::min(kToleratedGapSeconds * kSampleRateHz, kToleratedGapShare * static_cast<double>(span_samples_));
  double missing = 0;
  for (const float sample : span(instant)) missing += std::isnan(sample);
  return missing <= tolerated;
}

std::vector<float> AudioStretch::span(std::int64_t instant) const {
  const std::int64_t start = instant * hop_samples_;
  return samples_.read(start, start + span_samples_);
}

// Compute the log-mel frames before `stop` that are missing.
void AudioStretch::hear_until(std::int64_t stop) {
  const std::int64_t first = first_instant() * hop_frames_;
  if (log_mel_.end() < first) log_mel_.start_at(first);
  if (stop <= log_mel_.end()) return;
  const std::int64_t first_sample = log_mel_.end() * kFrameShiftSamples;
  std::vector<float> waveform = samples_.read(first_sample, (stop - 1) * kFrameShiftSamples + kFrameLengthSamples);
  for (float& sample : waveform) {
    if (std::isnan(sample)) sample = 0.0F;
  }
  const std::vector<float> frames = encoder_->log_mel(waveform);
  log_mel_.append(frames.data(), stop - log_mel_.end());
}

}  // namespace cavsync
