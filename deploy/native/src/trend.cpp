#include "trend.h"

#include <cmath>

#include "statistics.h"

namespace cavsync {

namespace {

constexpr std::size_t kMinDriftWindows = 8;
constexpr double kMinDriftSeconds = 30.0;
constexpr double kMaxDriftResidualMs = 40.0;
// Theil-Sen uses every pair of points, so longer series are decimated to this many.
constexpr std::size_t kMaxDriftPoints = 600;

struct Points {
  std::vector<double> times;
  std::vector<double> offsets;
};

Points trusted_points(const std::vector<Record>& records) {
  Points points;
  for (const Record& record : records) {
    if (!record.is_measured) continue;
    points.times.push_back(record.time_seconds);
    points.offsets.push_back(*record.audio_offset_ms);
  }
  return points;
}

Points every(const Points& all, std::size_t step) {
  Points points;
  for (std::size_t place = 0; place < all.times.size(); place += step) {
    points.times.push_back(all.times[place]);
    points.offsets.push_back(all.offsets[place]);
  }
  return points;
}

double median_slope(const Points& points) {
  std::vector<double> slopes;
  for (std::size_t first = 0; first < points.times.size(); ++first) {
    for (std::size_t second = first + 1; second < points.times.size(); ++second) {
      // Times repeat after the clock was set back.
      if (points.times[second] <= points.times[first]) continue;
      slopes.push_back((points.offsets[second] - points.offsets[first]) / (points.times[second] - points.times[first]));
    }
  }
  return median(std::move(slopes));
}

// The states with undetermined gaps of at most one window filled where both sides have the same state.
std::vector<cavsync_state> bridged(const std::vector<Record>& records, double step_seconds) {
  std::vector<cavsync_state> states;
  for (const Record& record : records) states.push_back(record.state);
  std::optional<std::size_t> last;
  for (std::size_t index = 0; index < states.size(); ++index) {
    if (states[index] == CAVSYNC_UNDETERMINED) continue;
    if (last && states[*last] == states[index]) {
      const double gap_seconds = static_cast<double>(index - *last - 1) * step_seconds;
      for (std::size_t inside = *last + 1; gap_seconds <= records[index].window_seconds && inside < index; ++inside) {
        states[inside] = states[index];
      }
    }
    last = index;
  }
  return states;
}

double middle_seconds(const Record& record) { return record.time_seconds - record.window_seconds / 2; }

double extreme_ms(const std::vector<Record>& records, std::size_t first, std::size_t stop, cavsync_state state) {
  double extreme = 0;
  for (std::size_t place = first; place < stop; ++place) {
    const Record& record = records[place];
    if (record.state != state || !record.audio_offset_ms) continue;
    if (std::abs(*record.audio_offset_ms) > std::abs(extreme)) extreme = *record.audio_offset_ms;
  }
  return extreme;
}

}  // namespace

std::optional<double> drift_ms_per_minute(const std::vector<Record>& records) {
  const Points all = trusted_points(records);
  if (all.times.size() < kMinDriftWindows || all.times.back() - all.times.front() < kMinDriftSeconds)
    return std::nullopt;
  const Points points = every(all, (all.times.size() + kMaxDriftPoints - 1) / kMaxDriftPoints);
  const double slope = median_slope(points);
  std::vector<double> apart, residuals;
  for (std::size_t place = 0; place < points.times.size(); ++place)
    apart.push_back(points.offsets[place] - slope * points.times[place]);
  const double middle = median(apart);
  for (const double value : apart) residuals.push_back(std::abs(value - middle));
  // Rejects jumps: a line through one misses most points.
  if (median(residuals) > kMaxDriftResidualMs) return std::nullopt;
  return 60 * slope;
}

std::optional<double> worst_offset_ms(const std::vector<Record>& records) {
  std::optional<double> worst;
  for (const Record& record : records) {
    if (!record.is_measured) continue;
    if (!worst || std::abs(*record.audio_offset_ms) > std::abs(*worst)) worst = record.audio_offset_ms;
  }
  return worst;
}

std::vector<cavsync_event> out_of_sync_events(const std::vector<Record>& records, double step_seconds,
                                              double start_seconds, double end_seconds) {
  const std::vector<cavsync_state> states = bridged(records, step_seconds);
  std::vector<cavsync_event> events;
  for (std::size_t first = 0, stop = 0; first < states.size(); first = stop) {
    while (stop < states.size() && states[stop] == states[first]) ++stop;
    if (states[first] == CAVSYNC_IN_SYNC || states[first] == CAVSYNC_UNDETERMINED) continue;
    const bool is_last = stop == states.size();
    cavsync_event event{};
    event.start_seconds = first == 0 ? start_seconds : middle_seconds(records[first]) - step_seconds / 2;
    event.end_seconds = is_last ? end_seconds : middle_seconds(records[stop - 1]) + step_seconds / 2;
    event.extreme_ms = extreme_ms(records, first, stop, states[first]);
    event.state = states[first];
    event.cause = is_last                                ? CAVSYNC_CAUSE_STREAM_ENDED
                  : states[stop] == CAVSYNC_UNDETERMINED ? CAVSYNC_CAUSE_UNDETERMINED
                                                         : CAVSYNC_CAUSE_DECISIONS;
    events.push_back(event);
  }
  return events;
}

}  // namespace cavsync
