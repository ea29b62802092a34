// Calls of the push interface read from bytes; those that are missing read as zero.
#pragma once

#include <cstdint>
#include <vector>

#include "cavsync.h"

namespace cavsync {

class PieceReader {
 public:
  PieceReader(const std::uint8_t* data, std::size_t size) : data_(data), end_(data + size) {}

  bool is_over() const { return data_ == end_; }
  std::uint8_t byte();
  // A time near the last one, or far away, or any bytes as a number.
  double seconds();
  void push_video(cavsync_scorer* scorer);
  void push_audio(cavsync_scorer* scorer);

 private:
  std::int32_t side();
  // Exactly as long as the interface says that it reads, so that a byte more is found.
  std::vector<std::uint8_t> bytes(std::size_t count);

  const std::uint8_t* data_;
  const std::uint8_t* end_;
  double last_seconds_ = 0;
};

}  // namespace cavsync
