#include "whole_file.h"

#include <cmath>

namespace cavsync {

void WholeFile::add(const Row& row) {
  const std::size_t num_lags = lags_ms_.size();
  const bool is_inside = !sums_.empty() && block_start_seconds_ <= row.time_seconds &&
                         row.time_seconds < block_start_seconds_ + block_seconds_;
  if (!is_inside) {
    block_start_seconds_ = row.time_seconds;
    sums_.resize(sums_.size() + num_lags, 0.0F);
    counts_.resize(counts_.size() + num_lags, 0);
  }
  const std::size_t first = sums_.size() - num_lags;
  for (std::size_t lag = 0; lag < num_lags; ++lag) {
    if (!std::isfinite(row.similarity[lag])) continue;
    // As in the Python package, whose sums are single and whose terms double precision.
    sums_[first + lag] = static_cast<float>(static_cast<double>(sums_[first + lag]) + row.similarity[lag]);
    ++counts_[first + lag];
  }
  evidence_.add(row.motion, row.level_dbfs, row.period_seconds);
}

Curve WholeFile::curve() const {
  const std::size_t num_lags = lags_ms_.size();
  std::vector<LagSums> blocks;
  for (std::size_t first = 0; first < sums_.size(); first += num_lags) {
    blocks.emplace_back(num_lags);
    for (std::size_t lag = 0; lag < num_lags; ++lag) {
      blocks.back().sums[lag] = static_cast<double>(sums_[first + lag]);
      blocks.back().counts[lag] = counts_[first + lag];
    }
  }
  return curve_of_sums(lags_ms_, blocks, evidence_.motion.size());
}

}  // namespace cavsync
