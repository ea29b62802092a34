// The similarity curve S(lag) of a part of a stream, its peak, and the features of the confidence.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cavsync {

// Least number of rows for a lag, or a window, to count.
constexpr std::size_t kMinRows = 8;
constexpr std::size_t kNumParts = 4;
constexpr std::size_t kNumFeatures = 8;
using Features = std::array<double, kNumFeatures>;
// Place of the feature `strength`: the height of the peak times the root of the number of frames with audio there.
constexpr std::size_t kStrength = 7;
// Prior rows of a face's curve: a face is often there for a short time only.
constexpr double kFacePriorRows = 12.0;

// Place of a feature in `Features` by the name in calibrations; -1 for an unknown one.
int feature_index(const std::string& name);

// Mean similarity per lag: `similarity` is NaN where too few frames count; `parts` is the same for consecutive parts.
struct Curve {
  std::vector<double> lags_ms;
  std::vector<double> similarity;
  std::array<std::vector<double>, kNumParts> parts;
  std::size_t num_frames = 0;
  std::vector<std::int64_t> num_rows;
};

// Highest point of a curve: `lag_ms` is the top of the parabola through it and its neighbours.
struct Peak {
  std::size_t index = 0;
  double lag_ms = 0;
  double similarity = 0;
  bool at_edge = false;
  double spacing_ms = 0;
};

// Sums and counts (lags) of similarities over one block of frames.
struct LagSums {
  std::vector<double> sums;
  std::vector<std::int64_t> counts;

  explicit LagSums(std::size_t num_lags) : sums(num_lags, 0.0), counts(num_lags, 0) {}
  // Add a row (lags), NaN counting as missing.
  void add(const std::vector<double>& similarity);
};

// The multiples of `hop_ms` within ±max_offset_ms.
std::vector<double> lag_grid_ms(double max_offset_ms, double hop_ms);
// Each lag counts as if it had `prior_rows` more rows with the mean similarity of all: the mean of few rows strays, and
// the highest of many lags is often one with few.
Curve curve_of_rows(const std::vector<double>& lags_ms, const std::vector<const std::vector<double>*>& rows,
                    double prior_rows = 0.0);
Curve curve_of_sums(const std::vector<double>& lags_ms, const std::vector<LagSums>& blocks, std::size_t num_frames,
                    double prior_rows = 0.0);
std::optional<Peak> find_peak(const std::vector<double>& lags_ms, const std::vector<double>& similarity);
// All zero without a peak.
Features curve_features(const Curve& curve);
std::vector<double> finite_of(const std::vector<double>& values);

}  // namespace cavsync
