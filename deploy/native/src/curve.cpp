#include "curve.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "statistics.h"

namespace cavsync {

namespace {

constexpr double kMinRowShare = 0.4;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> mean_of(const LagSums& sums) {
  std::vector<double> found(sums.sums.size(), kNaN);
  for (std::size_t lag = 0; lag < found.size(); ++lag) {
    if (sums.counts[lag] > 0) found[lag] = sums.sums[lag] / static_cast<double>(sums.counts[lag]);
  }
  return found;
}

void add(LagSums& total, const LagSums& block) {
  for (std::size_t lag = 0; lag < total.sums.size(); ++lag) {
    total.sums[lag] += block.sums[lag];
    total.counts[lag] += block.counts[lag];
  }
}

Curve curve_of_parts(const std::vector<double>& lags_ms, const std::vector<LagSums>& parts, std::size_t num_frames,
                     double prior_rows) {
  Curve curve;
  curve.lags_ms = lags_ms;
  curve.num_frames = num_frames;
  LagSums total(lags_ms.size());
  for (std::size_t part = 0; part < kNumParts; ++part) {
    add(total, parts[part]);
    curve.parts[part] = mean_of(parts[part]);
  }
  const double enough = std::max(static_cast<double>(kMinRows), kMinRowShare * static_cast<double>(num_frames));
  const double all = std::accumulate(total.sums.begin(), total.sums.end(), 0.0);
  const auto num_all = std::accumulate(total.counts.begin(), total.counts.end(), std::int64_t{0});
  const double mean_of_all = all / static_cast<double>(std::max<std::int64_t>(1, num_all));
  curve.similarity.assign(lags_ms.size(), kNaN);
  for (std::size_t lag = 0; lag < lags_ms.size(); ++lag) {
    const auto count = static_cast<double>(total.counts[lag]);
    if (count < enough) continue;
    curve.similarity[lag] = (total.sums[lag] + prior_rows * mean_of_all) / std::max(count + prior_rows, 1.0);
  }
  curve.num_rows = std::move(total.counts);
  return curve;
}

}  // namespace

void LagSums::add(const std::vector<double>& similarity) {
  for (std::size_t lag = 0; lag < sums.size(); ++lag) {
    if (std::isnan(similarity[lag])) continue;
    sums[lag] += similarity[lag];
    ++counts[lag];
  }
}

std::vector<double> lag_grid_ms(double max_offset_ms, double hop_ms) {
  const int steps = static_cast<int>(std::floor(max_offset_ms / hop_ms + 1e-9));
  std::vector<double> lags_ms;
  for (int step = -steps; step <= steps; ++step) lags_ms.push_back(step * hop_ms);
  return lags_ms;
}

Curve curve_of_rows(const std::vector<double>& lags_ms, const std::vector<const std::vector<double>*>& rows,
                    double prior_rows) {
  std::vector<LagSums> parts(kNumParts, LagSums(lags_ms.size()));
  auto row = rows.begin();
  std::size_t part = 0;
  for (const std::size_t size : part_sizes(rows.size(), kNumParts)) {
    for (std::size_t place = 0; place < size; ++place) parts[part].add(**row++);
    ++part;
  }
  return curve_of_parts(lags_ms, parts, rows.size(), prior_rows);
}

Curve curve_of_sums(const std::vector<double>& lags_ms, const std::vector<LagSums>& blocks, std::size_t num_frames,
                    double prior_rows) {
  std::vector<LagSums> parts(kNumParts, LagSums(lags_ms.size()));
  auto block = blocks.begin();
  std::size_t part = 0;
  for (const std::size_t size : part_sizes(blocks.size(), kNumParts)) {
    for (std::size_t place = 0; place < size; ++place) add(parts[part], *block++);
    ++part;
  }
  return curve_of_parts(lags_ms, parts, num_frames, prior_rows);
}

std::optional<Peak> find_peak(const std::vector<double>& lags_ms, const std::vector<double>& similarity) {
  std::vector<std::size_t> valid;
  for (std::size_t lag = 0; lag < similarity.size(); ++lag) {
    if (std::isfinite(similarity[lag])) valid.push_back(lag);
  }
  if (valid.empty()) return std::nullopt;
  const std::size_t index = *std::max_element(valid.begin(), valid.end(), [&](std::size_t one, std::size_t other) {
    return similarity[one] < similarity[other];
  });
  Peak peak;
  peak.index = index;
  peak.at_edge = index == valid.front() || index == valid.back();
  peak.lag_ms = lags_ms[index];
  peak.similarity = similarity[index];
  if (index > 0 && index + 1 < lags_ms.size()) {
    const double left = similarity[index - 1], right = similarity[index + 1];
    const double bend = left - 2 * peak.similarity + right;
    if (std::isfinite(bend) && bend < 0) {
      const double shift = 0.5 * (left - right) / bend;
      peak.lag_ms += shift * (lags_ms[index + 1] - lags_ms[index]);
      peak.similarity -= 0.25 * (left - right) * shift;
    }
  }
  const auto place = std::find(valid.begin(), valid.end(), index);
  const double below = place == valid.begin() ? 0.0 : lags_ms[index] - lags_ms[*(place - 1)];
  const double above = place + 1 == valid.end() ? 0.0 : lags_ms[*(place + 1)] - lags_ms[index];
  peak.spacing_ms = std::max(below, above);
  return peak;
}

std::vector<double> finite_of(const std::vector<double>& values) {
  std::vector<double> found;
  std::copy_if(values.begin(), values.end(), std::back_inserter(found),
               [](double value) { return std::isfinite(value); });
  return found;
}

}  // namespace cavsync
