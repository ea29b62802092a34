#include "stream_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "stream_limits.h"
#include "whole_numbers.h"

namespace cavsync {

namespace {

// No frame should wait much longer than `group_seconds` for its group.
std::size_t group_instants(const Options& options) {
  const std::int64_t wanted = rounded(options.grid.frame_rate_hz * options.group_seconds);
  return static_cast<std::size_t>(std::clamp<std::int64_t>(wanted, 1, kGroupInstants));
}

RowStreamOptions row_options(const Manifest& manifest, const Options& options) {
  RowStreamOptions found{options.max_lead_seconds, group_instants(options), Compared::kAtOnce, 0.0,
                         options.keeps_summary && options.uses_whole};
  if (!options.uses_whole) found.compared = Compared::kNever;
  // An adaptive search needs the decisions about the whole picture at once.
  if (options.uses_whole && options.uses_faces && !options.is_adaptive) {
    // Until the last window of a frame is over, and so is the wait for the faces in that.
    const FaceSpec& spec = *manifest.faces;
    found.compared = Compared::kOnDemand;
    found.demand_seconds =
        options.grid.window_seconds + 2 * options.group_seconds + spec.num_frames / spec.frame_rate_hz;
  }
  return found;
}

}  // namespace

StreamState::StreamState(const std::shared_ptr<const Bundle>& bundle, const Options& options)
    : frame_input({bundle->manifest().img_size, !options.uses_whole, options.uses_faces}),
      search(options.grid, options.is_adaptive, group_instants(options)),
      rows(bundle, options.grid, search, row_options(bundle->manifest(), options)),
      manifest_(bundle->manifest()),
      options_(options),
      windows_(
          rows, options.grid, [this](const Window& window) { return judge_whole(window); },
          [this](const Row& row) {
            if (whole) whole->add(row);
          }) {
  const double step_seconds = manifest_.sync.decision_step_seconds;
  if (options.keeps_summary) whole.emplace(options.grid.lags_ms, step_seconds);
  if (!options.uses_faces) return;
  faces.emplace(bundle, options.grid, rows.video(),
                FacePathOptions{options.max_lead_seconds, options.group_seconds, options.keeps_summary});
  face_judge.emplace(manifest_, options, hop_resolution_ms(manifest_, options));
  windows_.judge_faces(*faces, *face_judge);
  if (options.keeps_summary) face_file.emplace(options.grid.lags_ms, step_seconds, manifest_.faces->frame_rate_hz);
}

void StreamState::feed_frame(KeptFrame frame, double pts_seconds) {
  if (rows.video().push(std::move(frame.small), pts_seconds) && faces) faces->push(frame.full->view(), pts_seconds);
}

void StreamState::feed_audio(const std::vector<float>& samples, double pts_seconds) {
  rows.audio().push(samples, pts_seconds);
  if (faces) faces->audio().push(samples, pts_seconds);
}

void StreamState::decide() {
  for (std::vector<RowPointer> group = rows.next_rows(); !group.empty(); group = rows.next_rows()) {
    for (const RowPointer& row : group) {
      if (span_ && !span_->continues_with(*row)) end_span(-1, -std::numeric_limits<double>::infinity());
      if (!span_) span_.emplace(options_.grid, row);
      add(span_->add(row));
      windows_.add_row(row);
    }
    // At once, because the next group may fail.
    keep_settled();
  }
  keep_settled();
}

void StreamState::finish() {
  rows.finish();
  if (faces) faces->finish();
  decide();
  if (span_) end_span(rows.video().clock().epoch(), rows.video().last_seconds());
  keep_settled();
  windows_.finish();
  is_finished = true;
}

// Where the whole picture was compared at once, it is judged at once.
void StreamState::add(std::vector<Window> windows) {
  for (Window& window : windows) {
    if (is_on_demand()) continue;
    window.score = judge_whole(window);
    search.note(*window.score);
  }
  windows_.add(std::move(windows));
}

void StreamState::end_span(int last_epoch, double last_seconds) {
  add(span_->finish(last_epoch, last_seconds));
  // For the verdict on all rows of a file.
  rows.compare(span_->rest(), {});
  span_.reset();
}

void StreamState::keep_settled() {
  if (faces) {
    for (const auto& row : faces->advance()) {
      if (face_file) face_file->add(*row);
    }
  }
  while (const auto record = windows_.next_settled()) {
    waiting.push_back(*record);
    if (options_.keeps_summary) records.push_back(*record);
  }
}

// The decision about those rows of a window that were compared.
Record StreamState::judge_whole(const Window& window) const {
  std::vector<const std::vector<double>*> similarity;
  Evidence evidence;
  double strides = 0;
  for (const RowPointer& row : window.rows) {
    evidence.add(row->motion, row->level_dbfs, row->period_seconds);
    if (!row->is_compared()) continue;
    similarity.push_back(&row->similarity);
    strides += static_cast<double>(row->stride);
  }
  const double mean_stride = similarity.empty() ? 1.0 : strides / static_cast<double>(similarity.size());
  const Record record =
      judge(curve_of_rows(options_.grid.lags_ms, similarity), evidence, manifest_.calibration, options_.profile,
            window.span, resolution_floor_ms(manifest_, options_, mean_stride));
  return options_.uses_whole ? record : as_without_face(record, window.rows.size(), evidence);
}

double hop_resolution_ms(const Manifest& manifest, const Options& options) {
  return options.grid.hop_ms > manifest.sync.hop_ms ? options.grid.hop_ms / 2 : 0.0;
}

double resolution_floor_ms(const Manifest& manifest, const Options& options, double mean_stride) {
  const double rarer = mean_stride * manifest.sync.frame_rate_hz / options.grid.frame_rate_hz;
  const double resolution_ms = manifest.calibration ? manifest.calibration->resolution_ms : 0.0;
  return std::max(hop_resolution_ms(manifest, options), resolution_ms * std::sqrt(std::max(1.0, rarer)));
}

Record as_without_face(Record record, std::size_t num_rows, const Evidence& evidence) {
  record.path = CAVSYNC_PATH_FACE;
  record.reason = lack_of_input(num_rows, evidence);
  if (record.reason.empty()) record.reason = no_face();
  record.offset_resolution_ms.reset();
  return record;
}

}  // namespace cavsync
