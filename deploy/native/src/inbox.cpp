#include "inbox.h"

#include "align.h"
#include "error.h"

namespace cavsync {

void Inbox::count(const InboxItem& item, int sign) {
  if (const auto* frame = std::get_if<TimedFrame>(&item)) {
    bytes_ += sign * static_cast<std::int64_t>(sizeof item + frame->frame.small.size());
    if (frame->frame.full) full_bytes_ += sign * static_cast<std::int64_t>(frame->frame.full->pixels.size());
    num_frames_ += sign;
  } else {
    const auto num_samples = static_cast<std::int64_t>(std::get<AudioChunk>(item).samples.size());
    bytes_ += sign * (static_cast<std::int64_t>(sizeof item) + static_cast<std::int64_t>(sizeof(float)) * num_samples);
    num_samples_ += sign * num_samples;
  }
}

void Inbox::require_room() const {
  const std::lock_guard lock(mutex_);
  if (bytes_ > kMaxBytes || full_bytes_ > kMaxFullBytes) {
    throw Error(CAVSYNC_ERROR_FULL,
                "more was pushed than may wait, so this piece was dropped: call cavsync_scorer_process");
  }
}

void Inbox::add(InboxItem item) {
  const std::lock_guard lock(mutex_);
  count(item, 1);
  items_.push_back(std::move(item));
}

std::vector<InboxItem> Inbox::take_all() {
  const std::lock_guard lock(mutex_);
  std::vector<InboxItem> taken;
  taken.swap(items_);
  bytes_ = full_bytes_ = num_samples_ = num_frames_ = 0;
  return taken;
}

std::size_t Inbox::drop_oldest(double keep_seconds) {
  const std::lock_guard lock(mutex_);
  auto kept = items_.begin();
  while (kept != items_.end() && (static_cast<double>(num_samples_) > keep_seconds * kSampleRateHz ||
                                  static_cast<double>(num_frames_) > keep_seconds * kDenseFrameRateHz ||
                                  full_bytes_ > kMaxFullBytes / 2)) {
    count(*kept++, -1);
  }
  const auto num_dropped = static_cast<std::size_t>(kept - items_.begin());
  items_.erase(items_.begin(), kept);
  return num_dropped;
}

}  // namespace cavsync
