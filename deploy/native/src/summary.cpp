#include "summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
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

// The curves' decision about a whole stream, and what it rests on.
struct Overall {
  Record record;
  // Whether the paths contradict each other.
  bool is_contradictory = false;
  // The faces that the face path's decision is about; empty without one.
  std::set<int> tracks;
};

Overall overall_of(const Manifest& manifest, const Options& options, const StreamState& stream, const TimeSpan& span) {
  const WholeFile& whole = *stream.whole;
  const Evidence& evidence = whole.evidence();
  const Curve curve = whole.curve();
  const auto& calibration = manifest.file_calibration ? manifest.file_calibration : manifest.calibration;
  Record record = judge(curve, evidence, calibration, options.profile, span,
                        resolution_floor_ms(manifest, options, whole.mean_stride()));
  if (!options.uses_whole) record = as_without_face(record, curve.num_frames, evidence);
  if (!stream.face_file) return {record, false, {}};
  const auto face = stream.face_file->speaking(stream.records, span.window_seconds);
  if (!face) return {options.uses_whole ? unsupported(record) : record, false, {}};
  const auto& face_calibration =
      manifest.faces->file_calibration ? manifest.faces->file_calibration : manifest.faces->calibration;
  Evidence heard;
  heard.has_motion = false;
  heard.level_dbfs = face->level_dbfs;
  heard.period_seconds = evidence.period_seconds;
  const FaceDecision spoken = judge_face(face->curve, face->view, heard, face_calibration, options.profile, span,
                                         hop_resolution_ms(manifest, options));
  const double tolerance_ms = tolerance_ms_of(calibration, face_calibration);
  return {combined(record, {spoken}, tolerance_ms), is_disputed(record, spoken.record, tolerance_ms), face->tracks};
}

// The calibrations of the windows' paths, of those that occur.
std::vector<Calibration> calibrations_of(const Manifest& manifest, const std::vector<Record>& records) {
  std::vector<Calibration> found;
  const auto add = [&](cavsync_path path, const std::optional<Calibration>& calibration) {
    const bool occurs =
        std::any_of(records.begin(), records.end(), [&](const Record& record) { return record.path == path; });
    if (occurs && calibration) found.push_back(*calibration);
  };
  add(CAVSYNC_PATH_WHOLE, manifest.calibration);
  if (manifest.faces) add(CAVSYNC_PATH_FACE, manifest.faces->calibration);
  return found;
}

// The path of more than half of the windows; else the whole picture.
cavsync_path majority_path(const std::vector<Record>& records) {
  const auto by_face = std::count_if(records.begin(), records.end(),
                                     [](const Record& record) { return record.path == CAVSYNC_PATH_FACE; });
  return 2 * static_cast<std::size_t>(by_face) > records.size() ? CAVSYNC_PATH_FACE : CAVSYNC_PATH_WHOLE;
}

Record by_windows(const Manifest& manifest, const Options& options, const StreamState& stream, Record overall) {
  std::vector<Record> measured;
  std::vector<double> offsets, confidences;
  for (const Record& record : stream.records) {
    if (!record.is_measured) continue;
    measured.push_back(record);
    offsets.push_back(*record.audio_offset_ms);
    if (*record.confidence > 0) confidences.push_back(*record.confidence);
  }
  const auto num_records = static_cast<double>(stream.records.size());
  const std::vector<Calibration> calibrations = calibrations_of(manifest, measured);
  if (calibrations.empty() || static_cast<double>(measured.size()) <
                                  std::max(static_cast<double>(kMinWindows), kMinWindowShare * num_records)) {
    return overall;
  }
  // Neighbouring windows share most of their frames, so one false peak is in several of them.
  if (!overall.is_measured && num_apart(measured) < kMinWindows) return overall;
  double near_ms = 0, resolution_ms = 0;
  for (const Calibration& calibration : calibrations) {
    near_ms = std::max({near_ms, calibration.tolerance_ms, 2 * calibration.resolution_ms});
    resolution_ms = std::max(resolution_ms, calibration.resolution_ms);
  }
  resolution_ms = std::max(resolution_ms, resolution_floor_ms(manifest, options, stream.whole->mean_stride()));
  const double median_ms = median(offsets);
  double agreeing = 0;
  for (const double offset : offsets) agreeing += std::abs(offset - median_ms) <= near_ms;
  agreeing /= static_cast<double>(offsets.size());
  overall.is_varying = agreeing < kAgreeingShare;
  if (overall.is_varying) {
    overall.state = majority(measured);
    overall.reason = varying(offsets);
  } else if (overall.is_measured && std::abs(*overall.audio_offset_ms - median_ms) <= near_ms) {
    return overall;
  } else {
    std::tie(overall.state, overall.reason) = compare_with_limits(median_ms, resolution_ms, options.profile,
                                                                  stream.whole->evidence().frame_period_seconds());
    if (overall.reason.empty()) {
      overall.reason =
          format("the median of the %zu of %zu windows that could be measured", measured.size(), stream.records.size());
    }
  }
  const cavsync_path path = majority_path(measured);
  // The curve of the stream is that of the other path.
  if (path != overall.path) overall.similarity.reset();
  overall.path = path;
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

Record summarised(const Manifest& manifest, const Options& options, StreamState& stream, const TimeSpan& span) {
  const Overall overall = overall_of(manifest, options, stream, span);
  Record record =
      overall.is_contradictory ? overall.record : by_windows(manifest, options, stream, overall.record);
  if (!record.is_measured) return record;
  const std::set<int> tracks = overall.tracks.empty() ? std::set<int>{0} : overall.tracks;
  const auto far = record.path == CAVSYNC_PATH_WHOLE ? stream.rows.far_curve()
                   : stream.faces                    ? stream.faces->far_curve(tracks)
                                                     : std::nullopt;
  const double max_offset_ms = options.grid.max_offset_ms;
  const auto beyond_ms = far ? offset_beyond_ms(*far, max_offset_ms) : std::nullopt;
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
