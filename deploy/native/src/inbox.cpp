#include "inbox.h"

#include "error.h"

namespace cavsync {

namespace {
std::size_t bytes_of(const InboxItem& item) {
  if (const auto* picture = std::get_if<SmallPicture>(&item)) return sizeof item + picture->pixels.size();
  return sizeof item + sizeof(float) * std::get<AudioChunk>(item).samples.size();
}
}  // namespace

void Inbox::require_room() const {
  const std::lock_guard lock(mutex_);
  if (bytes_ > kMaxBytes) {
    throw Error(CAVSYNC_ERROR_FULL,
                "more was pushed than may wait, so this piece was dropped: call cavsync_scorer_process");
  }
}

void Inbox::add(InboxItem item) {
  const std::lock_guard lock(mutex_);
  bytes_ += bytes_of(item);
  items_.push_back(std::move(item));
}

std::vector<InboxItem> Inbox::take_all() {
  const std::lock_guard lock(mutex_);
  std::vector<InboxItem> taken;
  taken.swap(items_);
  bytes_ = 0;
  return taken;
}

}  // namespace cavsync
