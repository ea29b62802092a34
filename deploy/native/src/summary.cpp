#include "summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "statistics.h"
#include "text.h"
#include "window_span.h"

namespace cavsync {

namespace {

// Windows replace the whole stream's curve only if enough are trusted, and give a single offset only if most agree.
constexpr std::size_t kMinWindows = 3;
constexpr double kMinWindowShare = 0.2;
constexpr double kAgreeingShare = 0.7;

// The number of windows, taken from the first on, that do not overlap.
std::size_t num_apart(const std::vector<Record>& records) {
  std::size_t count = 0;
  double end_seconds = -std::numeric_limits<double>::infinity();
  for (const Record& record : records) {
    if (record.time_seconds - record.window_seconds < end_seconds - kTimeToleranceSeconds) continue;
    ++count;
    end_seconds = record.time_seconds;
  }
  return count;
}

// The state of more than half of the windows, else undetermined.
cavsync_state majority(const std::vector<Record>& records) {
  for (const cavsync_state state : {CAVSYNC_AUDIO_EARLY, CAVSYNC_AUDIO_LATE, CAVSYNC_IN_SYNC}) {
    const auto count =
        std::count_if(records.begin(), records.end(), [&](const Record& record) { return record.state == state; });
    if (2 * static_cast<std::size_t>(count) > records.size()) return state;
  }
  return CAVSYNC_UNDETERMINED;
}

std::string varying(const std::vector<double>& offsets) {
  return format(
      "the offset varies from %+.0f to %+.0f ms over the file, so no single delay repairs it: the offset given "
      "is the median of its %zu measured windows",
      percentile(offsets, 5), percentile(offsets, 95), offsets.size());
}

Record by_windows(const SummaryInput& input, Record overall) {
  std::vector<Record> measured;
  std::vector<double> offsets, confidences;
  for (const Record& record : input.records) {
    if (!record.is_measured) continue;
    measured.push_back(record);
    offsets.push_back(*record.audio_offset_ms);
    if (*record.confidence > 0) confidences.push_back(*record.confidence);
  }
  const double enough =
      std::max(static_cast<double>(kMinWindows), kMinWindowShare * static_cast<double>(input.records.size()));
  if (measured.empty() || static_cast<double>(measured.size()) < enough) return overall;
  // Neighbouring windows share most of their frames, so one false peak is in several of them.
  if (!overall.is_measured && num_apart(measured) < kMinWindows) return overall;
  const Calibration& calibration = *input.manifest.calibration;
  const double median_ms = median(offsets);
  const double near_ms = std::max(calibration.tolerance_ms, 2 * calibration.resolution_ms);
  double agreeing = 0;
  for (const double offset : offsets) agreeing += std::abs(offset - median_ms) <= near_ms;
  agreeing /= static_cast<double>(offsets.size());
  const double resolution_ms = std::max(calibration.resolution_ms, input.resolution_floor_ms);
  overall.is_varying = agreeing < kAgreeingShare;
  if (overall.is_varying) {
    overall.state = majority(measured);
    overall.reason = varying(offsets);
  } else if (overall.is_measured && std::abs(*overall.audio_offset_ms - median_ms) <= near_ms) {
    return overall;
  } else {
    std::tie(overall.state, overall.reason) = compare_with_limits(median_ms, resolution_ms, input.options.profile,
                                                                  input.whole.evidence().frame_period_seconds());
    if (overall.reason.empty()) {
      overall.reason =
          format("the median of the %zu of %zu windows that could be measured", measured.size(), input.records.size());
    }
  }
  overall.audio_offset_ms = median_ms;
  overall.offset_resolution_ms = std::max(resolution_ms, overall.offset_resolution_ms.value_or(0.0));
  overall.suggested_audio_delay_ms = overall.is_varying ? std::nullopt : std::optional<double>(median_ms);
  overall.confidence = agreeing * median(confidences);
  overall.is_measured = !overall.is_varying;
  return overall;
}

// The offset of the highest point of a curve if it lies beyond the range; nothing too where too little audio is there on
// either side of its limit.
std::optional<double> offset_beyond_ms(const Curve& far, double max_offset_ms) {
  std::optional<std::size_t> inside, outside;
  for (std::size_t lag = 0; lag < far.similarity.size(); ++lag) {
    if (!std::isfinite(far.similarity[lag])) continue;
    auto& best = std::abs(far.lags_ms[lag]) <= max_offset_ms ? inside : outside;
    if (!best || far.similarity[lag] > far.similarity[*best]) best = lag;
  }
  if (!inside || !outside || far.similarity[*outside] <= far.similarity[*inside]) return std::nullopt;
  return -far.lags_ms[*outside];
}

}  // namespace

Record summarised(const SummaryInput& input) {
  const Manifest& manifest = input.manifest;
  const auto& calibration = manifest.file_calibration ? manifest.file_calibration : manifest.calibration;
  Record record = by_windows(input, judge(input.whole.curve(), input.whole.evidence(), calibration,
                                          input.options.profile, input.span, input.resolution_floor_ms));
  const double max_offset_ms = input.options.grid.max_offset_ms;
  if (!input.far_curve || !record.is_measured) return record;
  const auto beyond_ms = offset_beyond_ms(*input.far_curve, max_offset_ms);
  if (!beyond_ms) return record;
  record.suggested_audio_delay_ms.reset();
  record.state = CAVSYNC_UNDETERMINED;
  record.is_measured = false;
  record.reason = format(
      "the offset seems to lie beyond ±%.0f ms, near %+.1f s, where sound and picture fit better: search "
      "further, with --max-offset-ms %.0f",
      max_offset_ms, *beyond_ms / 1000, 2 * max_offset_ms);
  return record;
}

}  // namespace cavsync
