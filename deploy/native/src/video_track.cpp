#include "video_track.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "stream_limits.h"

namespace cavsync {

namespace {

// No real source exceeds 2,000 fps; one that claims to would exhaust memory before a tubelet is complete.
constexpr double kMinStepSeconds = 0.0005;
// Containers round timestamps to a millisecond; a frame early by this share of a grid period counts as on time.
constexpr double kEarlyShare = 0.05;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double mean_difference(const std::vector<std::uint8_t>& frame, const std::vector<std::uint8_t>& previous) {
  std::int64_t sum = 0;
  for (std::size_t place = 0; place < frame.size(); ++place) sum += std::abs(frame[place] - previous[place]);
  return static_cast<double>(sum) / static_cast<double>(frame.size());
}

// The index of the time nearest to `wanted` in ascending ones; of two, the earlier.
std::size_t nearest_index(const std::deque<double>& times, double wanted) {
  if (times.size() == 1) return 0;
  const auto found = static_cast<std::size_t>(std::lower_bound(times.begin(), times.end(), wanted) - times.begin());
  const std::size_t right = std::clamp<std::size_t>(found, 1, times.size() - 1);
  return wanted - times[right - 1] <= times[right] - wanted ? right - 1 : right;
}

}  // namespace

VideoTrack::VideoTrack(const Manifest& manifest, double frame_rate_hz, std::size_t group_instants)
    : num_frames_(manifest.num_frames),
      frame_step_seconds_(manifest.frame_step_seconds),
      rate_hz_(frame_rate_hz),
      group_instants_(group_instants) {}

double VideoTrack::last_seconds() const {
  return epochs_.empty() ? -std::numeric_limits<double>::infinity() : epochs_.back().last_seconds;
}

bool VideoTrack::push(std::vector<std::uint8_t> pixels, double pts_seconds) {
  const double last = last_seconds();
  if (last - kJumpBackSeconds < pts_seconds && pts_seconds < last + kMinStepSeconds) {
    ++num_ignored_;
    return false;
  }
  auto frame = std::make_shared<SmallFrame>();
  frame->number = num_pushed_++;
  frame->pixels = std::move(pixels);
  if (pts_seconds <= last) {
    clock_.set_back(last, pts_seconds);
    elapsed_seconds_ += kJumpSeconds;
    epochs_.back().is_closed = true;
  }
  if (epochs_.empty() || epochs_.back().is_closed) {
    epochs_.emplace_back();
    epochs_.back().number = clock_.epoch();
    epochs_.back().first_seconds = pts_seconds;
    period_seconds_ = kNaN;
  }
  if (!first_seconds_) first_seconds_ = pts_seconds;
  add(epochs_.back(), std::move(frame), pts_seconds);
  return true;
}

void VideoTrack::add(Epoch& epoch, FramePointer frame, double pts_seconds) {
  if (!epoch.frames.empty()) {
    const double step_seconds = pts_seconds - epoch.last_seconds;
    const bool is_hole = step_seconds > kHoleSeconds;
    elapsed_seconds_ += is_hole ? kJumpSeconds : step_seconds;
    period_seconds_ = is_hole ? kNaN : step_seconds;
    motion_ = std::max(motion_, mean_difference(frame->pixels, epoch.frames.back()->pixels));
  }
  epoch.times.push_back(pts_seconds);
  epoch.frames.push_back(std::move(frame));
  epoch.last_seconds = pts_seconds;
  const double slot = std::floor((pts_seconds - epoch.first_seconds) * rate_hz_ + kEarlyShare);
  if (slot < epoch.next_slot) return;
  due_.push_back({pts_seconds, epoch.number, elapsed_seconds_, motion_, period_seconds_});
  epoch.next_slot = slot + 1;
  motion_ = 0.0;
}

void VideoTrack::finish() {
  if (!epochs_.empty()) epochs_.back().is_closed = true;
}

std::vector<VisualInstant> VideoTrack::take_group() {
  while (epochs_.size() > 1 && (due_.empty() || due_.front().epoch > epochs_.front().number)) epochs_.pop_front();
  if (epochs_.empty()) return {};
  Epoch& epoch = epochs_.front();
  forget(epoch);
  std::vector<VisualInstant> group;
  for (const VisualInstant& instant : due_) {
    if (instant.epoch != epoch.number || group.size() == group_instants_) break;
    group.push_back(instant);
  }
  const bool is_whole = group.size() == group_instants_ &&
                        wanted_seconds(group.back().time_seconds, num_frames_ - 1) <= epoch.last_seconds;
  if (!epoch.is_closed && !is_whole) return {};
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(group.size()));
  return group;
}

std::vector<Tubelet> VideoTrack::tubelets(const std::vector<VisualInstant>& group) const {
  const Epoch& epoch = epochs_.front();
  std::vector<Tubelet> found;
  for (const VisualInstant& instant : group) {
    Tubelet tubelet;
    for (int place = 0; place < num_frames_; ++place) {
      tubelet.push_back(epoch.frames[nearest_index(epoch.times, wanted_seconds(instant.time_seconds, place))]);
    }
    found.push_back(std::move(tubelet));
  }
  return found;
}

// The time at which a tubelet around a moment needs its frame number `place`.
double VideoTrack::wanted_seconds(double time_seconds, int place) const {
  return time_seconds + (place - num_frames_ / 2) * frame_step_seconds_;
}

// Drop the frames that no tubelet from the next instant on can use.
void VideoTrack::forget(Epoch& epoch) {
  const double next_seconds = due_.empty() ? epoch.last_seconds : due_.front().time_seconds;
  const double earliest = wanted_seconds(next_seconds, 0);
  const auto after = std::upper_bound(epoch.times.begin(), epoch.times.end(), earliest) - epoch.times.begin();
  const std::ptrdiff_t passed = std::max<std::ptrdiff_t>(0, after - 1);
  epoch.times.erase(epoch.times.begin(), epoch.times.begin() + passed);
  epoch.frames.erase(epoch.frames.begin(), epoch.frames.begin() + passed);
}

}  // namespace cavsync
