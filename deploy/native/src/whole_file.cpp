#include "whole_file.h"

#include <algorithm>

namespace cavsync {

void WholeFile::add(const Row& row) {
  const bool is_inside = blocks_.size() > 0 && block_start_seconds_ <= row.time_seconds &&
                         row.time_seconds < block_start_seconds_ + block_seconds_;
  if (!is_inside) {
    block_start_seconds_ = row.time_seconds;
    blocks_.begin();
  }
  blocks_.add(blocks_.size() - 1, row.similarity);
  strides_ += row.stride;
  evidence_.add(row.motion, row.level_dbfs, row.period_seconds);
}

Curve WholeFile::curve() const {
  std::vector<LagSums> blocks;
  for (std::size_t block = 0; block < blocks_.size(); ++block) blocks.push_back(blocks_.sums_of(block));
  return curve_of_sums(lags_ms_, blocks, evidence_.motion.size());
}

double WholeFile::mean_stride() const {
  return static_cast<double>(strides_) / static_cast<double>(std::max<std::size_t>(1, evidence_.motion.size()));
}

}  // namespace cavsync
