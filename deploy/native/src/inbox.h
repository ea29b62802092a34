// What was pushed into a scorer and waits to be computed.
#pragma once

#include <cstdint>
#include <mutex>
#include <variant>
#include <vector>

#include "frame_input.h"
#include "mono_resampler.h"

namespace cavsync {

struct TimedFrame {
  double pts_seconds;
  KeptFrame frame;
};

using InboxItem = std::variant<TimedFrame, AudioChunk>;

// Pieces in the order in which they were pushed; safe to use from several threads.
class Inbox {
 public:
  // An error if more waits than kMaxBytes, or than kMaxFullBytes of whole frames.
  void require_room() const;
  void add(InboxItem item);
  std::vector<InboxItem> take_all();
  // Drop the oldest until at most so much audio, kDenseFrameRateHz frames for each second of it, and kMaxFullBytes / 2 of
  // whole frames wait; return how many were dropped.
  std::size_t drop_oldest(double keep_seconds);

 private:
  static constexpr std::int64_t kMaxBytes = std::int64_t{64} << 20;
  // Whole frames are kept for the face path: 1.7 s of 1920 x 1080 at 25 frames/s.
  static constexpr std::int64_t kMaxFullBytes = std::int64_t{256} << 20;
  // More than nearly all sources have.
  static constexpr double kDenseFrameRateHz = 120.0;

  void count(const InboxItem& item, int sign);

  mutable std::mutex mutex_;
  std::vector<InboxItem> items_;
  std::int64_t bytes_ = 0;
  std::int64_t full_bytes_ = 0;
  std::int64_t num_samples_ = 0;
  std::int64_t num_frames_ = 0;
};

}  // namespace cavsync
