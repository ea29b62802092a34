// Similarities of one embedding with several.
#pragma once

#include <cstddef>
#include <vector>

namespace cavsync {

// The products (n) of embeddings (n, D) with one (D); NaN where an embedding is missing.
inline std::vector<double> dots(const std::vector<float>& embeddings, const std::vector<float>& one) {
  std::vector<double> found(embeddings.size() / one.size(), 0.0);
  const float* row = embeddings.data();
  for (double& product : found) {
    for (std::size_t place = 0; place < one.size(); ++place)
      product += static_cast<double>(row[place]) * static_cast<double>(one[place]);
    row += one.size();
  }
  return found;
}

// The values between neighbours (n + 1), so far above the lower one; rounding to the nearer would bias an offset.
// Without a share above, a missing upper neighbour does not make a value NaN.
inline std::vector<double> interpolated_row(const std::vector<double>& values, double share_above) {
  std::vector<double> row(values.size() - 1);
  for (std::size_t lag = 0; lag < row.size(); ++lag) {
    row[lag] = share_above == 0 ? values[lag] : (1 - share_above) * values[lag] + share_above * values[lag + 1];
  }
  return row;
}

}  // namespace cavsync
