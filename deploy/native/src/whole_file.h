// A whole stream, summed over all its rows.
#pragma once

#include <vector>

#include "block_sums.h"
#include "row_stream.h"
#include "verdict.h"

namespace cavsync {

// Sums of a stream's rows in blocks of `block_seconds`: 6 bytes per block and lag, 24 per row.
class WholeFile {
 public:
  WholeFile(const std::vector<double>& lags_ms, double block_seconds)
      : lags_ms_(lags_ms), block_seconds_(block_seconds), blocks_(lags_ms.size()) {}

  void add(const Row& row);
  Curve curve() const;
  const Evidence& evidence() const { return evidence_; }
  // Mean stride of the rows: one of this many frames was compared.
  double mean_stride() const;

 private:
  std::vector<double> lags_ms_;
  double block_seconds_;
  double block_start_seconds_ = 0;
  BlockSums blocks_;
  Evidence evidence_;
  std::int64_t strides_ = 0;
};

}  // namespace cavsync
