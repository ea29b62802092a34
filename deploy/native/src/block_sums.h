// Sums of similarities over blocks of a stream's rows, in flat arrays: 6 bytes per block and lag.
#pragma once

#include <cstdint>
#include <vector>

#include "curve.h"

namespace cavsync {

// Begin blocks, and add rows (lags) to any of them, NaN counting as missing; blocks are numbered from 0 on.
class BlockSums {
 public:
  explicit BlockSums(std::size_t num_lags) : num_lags_(num_lags) {}

  std::size_t size() const { return sums_.size() / num_lags_; }
  // Begin a block; return its number.
  std::size_t begin();
  void add(std::size_t block, const std::vector<double>& similarity);
  LagSums sums_of(std::size_t block) const;

 private:
  std::size_t num_lags_;
  std::vector<float> sums_;
  std::vector<std::uint16_t> counts_;
};

}  // namespace cavsync
