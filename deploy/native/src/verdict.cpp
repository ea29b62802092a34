#include "verdict.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "statistics.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr double kSilenceDbfs = -60.0;
constexpr double kSilentShare = 0.95;
// Key frames make even static video change slightly; real motion is either frequent or large.
constexpr double kMotionLevels = 0.05;
constexpr double kMovingShare = 0.05;
constexpr double kLargeMotionLevels = 2.0;
constexpr std::size_t kMinLags = 5;
// Frames farther apart than this are too few for a window.
constexpr double kSparseSeconds = 0.25;
constexpr double kFlatContrast = 1e-4;

double share_of(const std::vector<double>& values, double limit, bool is_above) {
  double count = 0;
  for (const double value : values) count += is_above ? value > limit : value < limit;
  return count / static_cast<double>(values.size());
}

double probability(const Calibration& calibration, const Features& features) {
  double logit = 0;
  for (std::size_t place = 0; place < calibration.features.size(); ++place) {
    const std::string& name = calibration.features[place];
    double value = features[static_cast<std::size_t>(feature_index(name))];
    if (calibration.max_frames && name == "log_frames") {
      value = std::min(value, std::log(static_cast<double>(*calibration.max_frames)));
    }
    logit += calibration.weights[place] * value;
  }
  logit += calibration.bias;
  return logit >= 0 ? 1 / (1 + std::exp(-logit)) : std::exp(logit) / (1 + std::exp(logit));
}

// The coarser of the bundle's and the grid's resolution.
double resolution_of(const Curve& curve, const std::optional<Peak>& peak, const Calibration& calibration,
                     double floor_ms) {
  const double hop_ms = curve.lags_ms.size() > 1 ? curve.lags_ms[1] - curve.lags_ms[0] : 0.0;
  // Where lags lack audio, the peak may lie anywhere between those that have it.
  const double skipped_ms = peak && peak->spacing_ms > 1.5 * hop_ms ? peak->spacing_ms : 0.0;
  return std::max({calibration.resolution_ms, floor_ms, skipped_ms});
}

}  // namespace

std::string lack_of_input(std::size_t num_frames, const Evidence& evidence) {
  if (num_frames < kMinRows) {
    return format("only %zu video frames in the window, at least %zu are needed", num_frames, kMinRows);
  }
  const double period_seconds = evidence.frame_period_seconds();
  if (period_seconds > kSparseSeconds) {
    return format("the video has only one frame every %.1f s, %g s or less are needed", period_seconds, kSparseSeconds);
  }
  const std::vector<double> levels = finite_of(evidence.level_dbfs);
  if (levels.size() < kMinRows) return "there is no audio in the window";
  if (share_of(levels, kSilenceDbfs, false) >= kSilentShare) {
    return format("the audio is silent (below %.0f dBFS)", kSilenceDbfs);
  }
  if (!evidence.has_motion) return "";
  const double largest = *std::max_element(evidence.motion.begin(), evidence.motion.end());
  if (share_of(evidence.motion, kMotionLevels, true) < kMovingShare && largest < kLargeMotionLevels) {
    return "the video is static";
  }
  return "";
}

std::string lack_of_evidence(const Curve& curve, const Evidence& evidence) {
  if (std::string lack = lack_of_input(curve.num_frames, evidence); !lack.empty()) return lack;
  const std::vector<double> finite = finite_of(curve.similarity);
  if (finite.size() < kMinLags) return "too little of the audio around the window is available";
  if (*std::max_element(finite.begin(), finite.end()) - median(finite) < kFlatContrast) {
    return "the similarity curve is flat, no lag matches better than the others";
  }
  return "";
}

double Evidence::frame_period_seconds() const { return median(finite_of(period_seconds)); }

Record judge(const Curve& curve, const Evidence& evidence, const std::optional<Calibration>& calibration,
             const Profile& profile, const TimeSpan& span, double resolution_floor_ms, const std::string& lack) {
  const auto peak = find_peak(curve.lags_ms, curve.similarity);
  Record record;
  record.time_seconds = span.time_seconds;
  record.window_seconds = span.window_seconds;
  record.profile = profile.name;
  record.reason = lack.empty() ? lack_of_evidence(curve, evidence) : lack;
  if (peak) {
    record.similarity = peak->similarity;
    record.peak_lag_ms = peak->lag_ms;
  }
  if (record.reason.empty() && peak && peak->at_edge) {
    record.reason = format("the best match lies at the end of the search range, so the offset may be beyond ±%.0f ms",
                           std::abs(curve.lags_ms.front()));
  }
  if (calibration) record.offset_resolution_ms = resolution_of(curve, peak, *calibration, resolution_floor_ms);
  if (!record.reason.empty() || !peak) return record;
  record.audio_offset_ms = -peak->lag_ms - (calibration ? calibration->zero_point_ms : 0.0);
  if (!calibration) {
    record.reason = "this bundle is not calibrated, so its offsets are estimates of unknown confidence";
    return record;
  }
  record.confidence = probability(*calibration, curve_features(curve));
  if (*record.confidence < calibration->threshold) {
    record.reason =
        format("the confidence %.2f is below the bundle's threshold %.2f", *record.confidence, calibration->threshold);
    return record;
  }
  record.is_measured = true;
  record.suggested_audio_delay_ms = record.audio_offset_ms;
  std::tie(record.state, record.reason) = compare_with_limits(*record.audio_offset_ms, *record.offset_resolution_ms,
                                                              profile, evidence.frame_period_seconds());
  return record;
}

std::pair<cavsync_state, std::string> compare_with_limits(double offset_ms, double resolution_ms,
                                                          const Profile& profile, double frame_period_seconds) {
  const Limits limits = profile.limits_for(frame_period_seconds);
  if (!std::isfinite(limits.early_ms)) {
    return {CAVSYNC_UNDETERMINED, "the limits of profile " + profile.name + " need the frame period, which is unknown"};
  }
  const double low = offset_ms - resolution_ms, high = offset_ms + resolution_ms;
  if (-limits.late_ms <= low && high <= limits.early_ms) return {CAVSYNC_IN_SYNC, ""};
  if (low > limits.early_ms) return {CAVSYNC_AUDIO_EARLY, ""};
  if (high < -limits.late_ms) return {CAVSYNC_AUDIO_LATE, ""};
  return {CAVSYNC_UNDETERMINED,
          format("the offset %+.0f ms lies within the bundle's resolution of ±%.0f ms of a limit of profile %s "
                 "(+%.0f/-%.0f ms)",
                 offset_ms, resolution_ms, profile.name.c_str(), limits.early_ms, limits.late_ms)};
}

}  // namespace cavsync
