#include "block_sums.h"

#include <cmath>

namespace cavsync {

std::size_t BlockSums::begin() {
  sums_.resize(sums_.size() + num_lags_, 0.0F);
  counts_.resize(counts_.size() + num_lags_, 0);
  return size() - 1;
}

void BlockSums::add(std::size_t block, const std::vector<double>& similarity) {
  float* sum = sums_.data() + block * num_lags_;
  std::uint16_t* count = counts_.data() + block * num_lags_;
  for (std::size_t lag = 0; lag < num_lags_; ++lag) {
    if (!std::isfinite(similarity[lag])) continue;
    // As in the Python package, whose sums are single and whose terms double precision.
    sum[lag] = static_cast<float>(static_cast<double>(sum[lag]) + similarity[lag]);
    ++count[lag];
  }
}

LagSums BlockSums::sums_of(std::size_t block) const {
  LagSums found(num_lags_);
  for (std::size_t lag = 0; lag < num_lags_; ++lag) {
    found.sums[lag] = static_cast<double>(sums_[block * num_lags_ + lag]);
    found.counts[lag] = counts_[block * num_lags_ + lag];
  }
  return found;
}

}  // namespace cavsync
