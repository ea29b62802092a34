// How far a peak stands above the rest of its curve, in several ways; calibrations weigh them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "curve.h"
#include "statistics.h"

namespace cavsync {

namespace {

const std::array<const char*, kNumFeatures> kNames = {"peak_z",   "margin_z",  "sharpness_z", "peak_similarity",
                                                      "contrast", "agreement", "log_frames",  "strength"};
// Maxima closer than kSamePeakMs count as one peak. kAgreementMs is below the loosest broadcast limit.
constexpr double kSamePeakMs = 200.0;
constexpr double kAgreementMs = 100.0;
constexpr double kShoulderMs = 120.0;
constexpr double kMaxZ = 30.0;

struct Points {
  std::vector<double> lags_ms;
  std::vector<double> values;
};

Points finite_points(const Curve& curve) {
  Points points;
  for (std::size_t lag = 0; lag < curve.similarity.size(); ++lag) {
    if (!std::isfinite(curve.similarity[lag])) continue;
    points.lags_ms.push_back(curve.lags_ms[lag]);
    points.values.push_back(curve.similarity[lag]);
  }
  return points;
}

// The curve with lags that lack audio filled in between their neighbours.
Curve interpolated(Curve curve) {
  const Points known = finite_points(curve);
  for (std::size_t lag = 0; lag < curve.similarity.size(); ++lag) {
    const bool is_inside = curve.lags_ms[lag] > known.lags_ms.front() && curve.lags_ms[lag] < known.lags_ms.back();
    if (is_inside && !std::isfinite(curve.similarity[lag])) {
      curve.similarity[lag] = interpolate(curve.lags_ms[lag], known.lags_ms, known.values);
    }
  }
  return curve;
}

// The highest local maximum beyond kSamePeakMs; an end counts if the curve rises towards it.
double best_rival(const Curve& curve, const Peak& peak, double median_height) {
  const double lowest = -std::numeric_limits<double>::infinity();
  const auto height = [&](std::ptrdiff_t lag) {
    if (lag < 0 || lag >= static_cast<std::ptrdiff_t>(curve.similarity.size())) return lowest;
    const double value = curve.similarity[static_cast<std::size_t>(lag)];
    return std::isfinite(value) ? value : lowest;
  };
  double best = lowest;
  for (std::size_t lag = 0; lag < curve.similarity.size(); ++lag) {
    const auto place = static_cast<std::ptrdiff_t>(lag);
    const bool is_maximum =
        height(place) > lowest && height(place) >= height(place - 1) && height(place) >= height(place + 1);
    const bool is_far = std::abs(curve.lags_ms[lag] - curve.lags_ms[peak.index]) > kSamePeakMs;
    if (is_maximum && is_far) best = std::max(best, height(place));
  }
  return best > lowest ? best : median_height;
}

// The mean of the curve at kShoulderMs to either side of the peak.
double shoulder(const Curve& curve, const Peak& peak, double median_height) {
  const Points known = finite_points(curve);
  std::vector<double> heights;
  for (const double side : {-kShoulderMs, kShoulderMs}) {
    const double lag_ms = curve.lags_ms[peak.index] + side;
    if (lag_ms >= known.lags_ms.front() && lag_ms <= known.lags_ms.back()) {
      heights.push_back(interpolate(lag_ms, known.lags_ms, known.values));
    }
  }
  return heights.empty() ? median_height : mean(heights);
}

double agreement(const Curve& curve, const Peak& peak) {
  double near = 0;
  for (const auto& part : curve.parts) {
    const auto found = find_peak(curve.lags_ms, part);
    near += found && std::abs(found->lag_ms - peak.lag_ms) <= kAgreementMs;
  }
  return near / static_cast<double>(kNumParts);
}

}  // namespace

int feature_index(const std::string& name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  return found == kNames.end() ? -1 : static_cast<int>(found - kNames.begin());
}

Features curve_features(const Curve& measured) {
  const auto peak = find_peak(measured.lags_ms, measured.similarity);
  if (!peak) return {};
  const Curve curve = interpolated(measured);
  const std::vector<double> finite = finite_of(curve.similarity);
  const double middle = median(finite);
  std::vector<double> apart;
  for (const double value : finite) apart.push_back(std::abs(value - middle));
  const double spread = 1.4826 * median(apart) + 1e-6;
  const double height = curve.similarity[peak->index];
  const auto z = [&](double difference) { return std::clamp(difference / spread, 0.0, kMaxZ); };
  return {z(height - middle),
          z(height - best_rival(curve, *peak, middle)),
          z(height - shoulder(curve, *peak, middle)),
          height,
          height - middle,
          agreement(curve, *peak),
          std::log(static_cast<double>(std::max<std::size_t>(1, curve.num_frames))),
          (height - middle) * std::sqrt(static_cast<double>(curve.num_rows[peak->index]))};
}

}  // namespace cavsync
