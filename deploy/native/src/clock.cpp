#include "clock.h"

#include <cmath>
#include <limits>

#include "stream_limits.h"

namespace cavsync {

void EpochClock::set_back(double last_seconds, double next_seconds) {
  const EpochEnd end{last_seconds, next_seconds};
  ends_[epoch_] = end;
  base_seconds_ += end.back_seconds();
  ++epoch_;
}

std::optional<EpochEnd> EpochClock::end_of(int epoch) const {
  const auto found = ends_.find(epoch);
  if (found == ends_.end()) return std::nullopt;
  return found->second;
}

std::optional<int> EpochPairing::epoch_of(int epoch, double seconds, double audio_seconds,
                                          const std::function<bool(int)>& covers) {
  while (epoch != video_epoch_) {
    if (!pass_end(audio_seconds)) return std::nullopt;
  }
  while (!covers(audio_epoch_)) {
    const auto end = audio_.end_of(audio_epoch_);
    const double earliest_seconds = seconds + ahead_seconds_ - kPatienceSeconds;
    if (!end) {
      // Audio that ended now would be followed by another epoch, which might be this frame's.
      return audio_seconds >= earliest_seconds ? std::optional<int>(audio_epoch_) : std::nullopt;
    }
    if (end->last_seconds >= earliest_seconds) return audio_epoch_;
    advance(std::nullopt, end);
  }
  ahead_seconds_ = 0.0;
  return audio_epoch_;
}

// Leave the current epoch of the video, of the audio, or both; false if it cannot be known which.
bool EpochPairing::pass_end(double audio_seconds) {
  const auto video = video_.end_of(video_epoch_);
  const auto audio = audio_.end_of(audio_epoch_);
  const double video_seconds = video->last_seconds + ahead_seconds_;
  if (!audio && audio_seconds <= video_seconds + kPatienceSeconds) return false;
  // If the two ends are far apart, pass only the earlier one.
  const double ahead = audio ? audio->last_seconds - video_seconds : std::numeric_limits<double>::infinity();
  advance(ahead >= -kPatienceSeconds ? video : std::nullopt, ahead <= kPatienceSeconds ? audio : std::nullopt);
  return true;
}

void EpochPairing::advance(const std::optional<EpochEnd>& video, const std::optional<EpochEnd>& audio) {
  if (video) {
    ++video_epoch_;
    ahead_seconds_ += video->back_seconds();
    video_.forget_before(video_epoch_);
  }
  if (audio) {
    ++audio_epoch_;
    ahead_seconds_ -= audio->back_seconds();
    audio_.forget_before(audio_epoch_);
  }
  // Clocks that nearly agree are one clock: small differences of the ends must not add up.
  if (std::abs(ahead_seconds_) <= kPatienceSeconds) ahead_seconds_ = 0.0;
}

}  // namespace cavsync
