// What was pushed into a scorer and waits to be computed.
#pragma once

#include <cstdint>
#include <mutex>
#include <variant>
#include <vector>

#include "mono_resampler.h"

namespace cavsync {

struct SmallPicture {
  double pts_seconds;
  std::vector<std::uint8_t> pixels;
};

using InboxItem = std::variant<SmallPicture, AudioChunk>;

// Pieces in the order in which they were pushed; safe to use from several threads.
class Inbox {
 public:
  // An error if more waits than kMaxBytes.
  void require_room() const;
  void add(InboxItem item);
  std::vector<InboxItem> take_all();

 private:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

  mutable std::mutex mutex_;
  std::vector<InboxItem> items_;
  std::size_t bytes_ = 0;
};

}  // namespace cavsync
