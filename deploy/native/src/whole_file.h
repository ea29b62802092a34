// A whole stream, summed over all its rows.
#pragma once

#include <cstdint>
#include <vector>

#include "row_stream.h"
#include "verdict.h"

namespace cavsync {

// Sums of a stream's rows in blocks of `block_seconds`: 6 bytes per block and lag, 24 per row.
class WholeFile {
 public:
  WholeFile(const std::vector<double>& lags_ms, double block_seconds)
      : lags_ms_(lags_ms), block_seconds_(block_seconds) {}

  void add(const Row& row);
  Curve curve() const;
  const Evidence& evidence() const { return evidence_; }

 private:
  std::vector<double> lags_ms_;
  double block_seconds_;
  double block_start_seconds_ = 0;
  std::vector<float> sums_;
  std::vector<std::uint16_t> counts_;
  Evidence evidence_;
};

}  // namespace cavsync
