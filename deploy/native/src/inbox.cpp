#include "inbox.h"

#include "align.h"
#include "error.h"

namespace cavsync {

void Inbox::count(const InboxItem& item, int sign) {
  const auto* picture = std::get_if<SmallPicture>(&item);
  const std::size_t num_samples = picture == nullptr ? std::get<AudioChunk>(item).samples.size() : 0;
  const std::size_t size = picture == nullptr ? sizeof(float) * num_samples : picture->pixels.size();
  bytes_ += sign * static_cast<std::int64_t>(sizeof item + size);
  num_samples_ += sign * static_cast<std::int64_t>(num_samples);
  if (picture != nullptr) num_pictures_ += sign;
}

void Inbox::require_room() const {
  const std::lock_guard lock(mutex_);
  if (bytes_ > kMaxBytes) {
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
  bytes_ = num_samples_ = num_pictures_ = 0;
  return taken;
}

std::size_t Inbox::drop_oldest(double keep_seconds) {
  const std::lock_guard lock(mutex_);
  auto kept = items_.begin();
  while (kept != items_.end() && (static_cast<double>(num_samples_) > keep_seconds * kSampleRateHz ||
                                  static_cast<double>(num_pictures_) > keep_seconds * kDenseFrameRateHz)) {
    count(*kept++, -1);
  }
  const auto num_dropped = static_cast<std::size_t>(kept - items_.begin());
  items_.erase(items_.begin(), kept);
  return num_dropped;
}

}  // namespace cavsync
