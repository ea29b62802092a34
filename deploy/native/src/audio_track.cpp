#include "audio_track.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "align.h"
#include "stream_limits.h"

namespace cavsync {

namespace {
// Samples that a stretch counts for, at least one second: short stretches cost memory, too.
std::int64_t cost_samples(const AudioStretch& stretch) {
  return std::max<std::int64_t>(stretch.num_samples(), kSampleRateHz);
}
}  // namespace

AudioTrack::AudioTrack(std::shared_ptr<const AudioEncoder> encoder, int hop_frames, double keep_seconds)
    : encoder_(std::move(encoder)), hop_frames_(hop_frames), keep_samples_(rounded(keep_seconds * kSampleRateHz)) {}

double AudioTrack::end_seconds() const {
  if (stretches_.empty()) return -std::numeric_limits<double>::infinity();
  return static_cast<double>(stretches_.back().end_sample()) / kSampleRateHz;
}

void AudioTrack::push(const std::vector<float>& samples, double pts_seconds) {
  if (stretches_.empty() || !steady_.follows(pts_seconds)) resume(pts_seconds);
  const std::int64_t place = rounded(steady_.next_seconds() * kSampleRateHz);
  steady_.advance(pts_seconds, static_cast<double>(samples.size()) / kSampleRateHz);
  stretches_.back().append(samples, place);
  limit();
}

bool AudioTrack::has(int epoch, std::int64_t stop) const {
  if (is_finished_ || epoch < clock_.epoch()) return true;
  return !stretches_.empty() && stretches_.back().epoch() == epoch && stretches_.back().end_instant() >= stop;
}

bool AudioTrack::covers(int epoch, double seconds, std::int64_t stop) const {
  const double latest_sample = (seconds + kPatienceSeconds) * kSampleRateHz;
  for (const AudioStretch& stretch : stretches_) {
    if (stretch.epoch() == epoch && static_cast<double>(stretch.first_sample()) <= latest_sample &&
        stretch.end_instant() >= stop) {
      return true;
    }
  }
  return false;
}

void AudioTrack::embed(int epoch, const std::vector<std::int64_t>& wanted) {
  for (AudioStretch& stretch : stretches_) {
    if (stretch.epoch() == epoch) stretch.embed(wanted);
  }
}

std::vector<float> AudioTrack::embeddings(int epoch, std::int64_t start, std::int64_t stop) const {
  const std::size_t size = static_cast<std::size_t>(stop - start) * static_cast<std::size_t>(encoder_->embedding_dim);
  std::vector<float> merged(size, std::numeric_limits<float>::quiet_NaN());
  for (const AudioStretch& stretch : stretches_) {
    if (stretch.epoch() != epoch || stretch.first_instant() >= stop || stretch.end_instant() <= start) continue;
    const std::vector<float> found = stretch.embeddings(start, stop);
    for (std::size_t place = 0; place < size; ++place) {
      if (std::isnan(merged[place])) merged[place] = found[place];
    }
  }
  return merged;
}

double AudioTrack::level_dbfs(int epoch, std::int64_t instant) const {
  for (const AudioStretch& stretch : stretches_) {
    if (stretch.epoch() != epoch) continue;
    if (const double level = stretch.level_dbfs(instant); !std::isnan(level)) return level;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

void AudioTrack::drop_before(int epoch, std::int64_t instant) {
  const auto passed = std::make_tuple(epoch, instant);
  while (stretches_.size() > 1 &&
         std::make_tuple(stretches_.front().epoch(), stretches_.front().end_instant()) <= passed) {
    stretches_.pop_front();
  }
  if (!stretches_.empty() && stretches_.front().epoch() == epoch) stretches_.front().drop_before(instant);
}

// Continue at a timestamp that does not follow from the last one.
void AudioTrack::resume(double pts_seconds) {
  steady_ = SteadyClock(pts_seconds);
  if (!stretches_.empty() && pts_seconds < end_seconds() - kJumpBackSeconds) {
    clock_.set_back(end_seconds(), pts_seconds);
  } else if (!stretches_.empty() && pts_seconds <= end_seconds() + kHoleSeconds) {
    return;
  }
  stretches_.emplace_back(encoder_, hop_frames_, rounded(pts_seconds * kSampleRateHz), clock_.epoch());
}

void AudioTrack::limit() {
  std::int64_t excess = -keep_samples_;
  for (const AudioStretch& stretch : stretches_) excess += cost_samples(stretch);
  while (excess > 0 && stretches_.size() > 1 && excess >= cost_samples(stretches_.front())) {
    excess -= cost_samples(stretches_.front());
    stretches_.pop_front();
  }
  if (excess > 0) stretches_.front().drop_samples(excess);
}

}  // namespace cavsync
