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
  // Drop the oldest until at most so much audio, and kDenseFrameRateHz frames for each second of it, wait;
  // return how many were dropped.
  std::size_t drop_oldest(double keep_seconds);

 private:
  static constexpr std::int64_t kMaxBytes = std::int64_t{64} << 20;
  // More than nearly all sources have.
  static constexpr double kDenseFrameRateHz = 120.0;

  void count(const InboxItem& item, int sign);

  mutable std::mutex mutex_;
  std::vector<InboxItem> items_;
  std::int64_t bytes_ = 0;
  std::int64_t num_samples_ = 0;
  std::int64_t num_pictures_ = 0;
};

}  // namespace cavsync
