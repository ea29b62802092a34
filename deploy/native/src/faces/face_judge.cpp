#include "faces/face_judge.h"

#include <algorithm>
#include <map>

#include "statistics.h"
#include "text.h"

namespace cavsync {

namespace {

using FaceRows = std::vector<std::shared_ptr<const FaceRow>>;

// Summarise how one face is seen in its rows, which fill `share` of a window.
FaceView view_of(const FaceRows& rows, double share) {
  LookMedians medians;
  std::vector<double> times_seconds, opening;
  for (const auto& row : rows) {
    const FaceLook& look = row->look;
    medians.add(look.box, look.presence, look.frontality, look.eye_distance_px);
    times_seconds.push_back(row->time_seconds);
    opening.push_back(static_cast<double>(look.mouth_opening));
  }
  FaceView view = medians.view();
  view.track = rows.front()->track;
  view.frame_size = rows.back()->look.frame_size;
  view.lips = lip_motion(times_seconds, opening);
  view.share = share;
  return view;
}

}  // namespace

std::string no_face() { return format("no face is in at least %.0f%% of the window", 100 * kMinFaceShare); }

std::vector<FaceDecision> FaceJudge::judge(const Window& window, const FaceRows& rows) const {
  std::map<int, FaceRows> by_track;
  for (const auto& row : rows) by_track[row->track].push_back(row);
  const FaceSpec& spec = *manifest_.faces;
  const double expected = window.span.window_seconds * spec.frame_rate_hz;
  const double enough = std::max(static_cast<double>(kMinRows), kMinFaceShare * expected);
  std::vector<FaceDecision> decisions;
  for (const auto& [track, face] : by_track) {
    if (static_cast<double>(face.size()) < enough) continue;
    Evidence evidence;
    evidence.has_motion = false;
    for (const RowPointer& row : window.rows) evidence.period_seconds.push_back(row->period_seconds);
    std::vector<const std::vector<double>*> similarity;
    for (const auto& row : face) {
      evidence.level_dbfs.push_back(row->level_dbfs);
      similarity.push_back(&row->similarity);
    }
    const FaceView view = view_of(face, std::min(1.0, static_cast<double>(face.size()) / expected));
    decisions.push_back(judge_face(curve_of_rows(options_.grid.lags_ms, similarity, kFacePriorRows), view, evidence,
                                   spec.calibration, options_.profile, window.span, resolution_floor_ms_));
  }
  return decisions;
}

bool FaceJudge::decides(const std::vector<FaceDecision>& faces) const {
  const FaceDecision* best = surest(faces);
  if (best == nullptr || !best->record.is_measured) return false;
  return std::none_of(faces.begin(), faces.end(), [&](const FaceDecision& other) {
    return is_disputed(other.record, best->record, tolerance_ms());
  });
}

bool FaceJudge::is_settled(const Record& whole, const std::vector<FaceDecision>& faces) const {
  const FaceDecision* best = surest(faces);
  const std::optional<Calibration>& own = manifest_.faces->calibration;
  if (best == nullptr || !own || !agree(whole, best->record, tolerance_ms())) return false;
  const bool is_clear = odds_of(best->record.confidence.value_or(0.0)) >= kClearOdds * odds_of(own->threshold);
  return whole.is_measured || is_clear;
}

Record FaceJudge::combined(const Record& whole, const std::vector<FaceDecision>& faces) const {
  return cavsync::combined(whole, faces, tolerance_ms());
}

double FaceJudge::tolerance_ms() const { return tolerance_ms_of(manifest_.calibration, manifest_.faces->calibration); }

}  // namespace cavsync
