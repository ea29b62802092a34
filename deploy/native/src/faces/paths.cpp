#include "faces/paths.h"

#include <algorithm>
#include <cmath>

#include "statistics.h"
#include "text.h"

namespace cavsync {

namespace {

// Least `strength` of a face's peak that is decided on: where a curve is smooth, a low peak stands out by many of its
// deviations, and is chance all the same.
constexpr double kMinStrength = 0.9;
// Least confidence at which the whole picture decides where faces are looked for and no lips that are seen support it.
constexpr double kSureAlone = 0.99;
// Range of the level of the sound's segments (5th to 95th percentile) below which it hardly changes.
constexpr double kSteadySoundDb = 3.0;

// The face's decision without what only a decided one has.
Record undecided(Record record, const std::string& reason) {
  record.suggested_audio_delay_ms.reset();
  record.confidence.reset();
  record.state = CAVSYNC_UNDETERMINED;
  record.reason = reason;
  record.is_measured = false;
  return record;
}

// A clause on why lips that move fit the sound at no lag, or not clearly.
std::string cause_of(const Curve& curve, const Evidence& evidence) {
  const std::vector<double> levels = finite_of(evidence.level_dbfs);
  if (percentile(levels, 95) - percentile(levels, 5) < kSteadySoundDb) {
    return "the sound hardly changes, so it shows no moment that the lips could fit";
  }
  const double reach_ms = std::max(std::abs(curve.lags_ms.front()), std::abs(curve.lags_ms.back()));
  return format(
      "lips and sound move, but no offset within ±%.0f ms fits clearly (dubbed, another speaker, an offset beyond the "
      "range, or too little speech)",
      reach_ms);
}

std::string offset_of(const Record& record) { return format("%+.0f ms", *record.audio_offset_ms); }

double odds_of(const Record& record) { return cavsync::odds_of(record.confidence.value_or(0.0)); }

}  // namespace

double odds_of(double probability) { return probability / std::max(1 - probability, 1e-9); }

FaceDecision judge_face(const Curve& curve, const FaceView& view, const Evidence& evidence,
                        const std::optional<Calibration>& calibration, const Profile& profile, const TimeSpan& span,
                        double resolution_floor_ms) {
  const std::string lack = lack_of_input(curve.num_frames, evidence);
  const std::string known = lack.empty() && view.is_mute() ? view.shortcoming() : lack;
  Record record = judge(curve, evidence, calibration, profile, span, resolution_floor_ms, known);
  record.path = CAVSYNC_PATH_FACE;
  if (record.is_measured && curve_features(curve)[kStrength] < kMinStrength) record = undecided(record, "");
  if (!lack.empty() || record.is_measured) return {record, view};
  // A face that is hard to see says more than what else is missing, and that more than why no lag stands out.
  std::string cause = view.shortcoming();
  if (cause.empty() && calibration && lack_of_evidence(curve, evidence).empty()) {
    cause = view.doubt();
    if (cause.empty()) cause = cause_of(curve, evidence);
  }
  if (!cause.empty()) record.reason = cause;
  return {record, view};
}

const FaceDecision* surest(const std::vector<FaceDecision>& faces) {
  const auto found =
      std::max_element(faces.begin(), faces.end(), [](const FaceDecision& one, const FaceDecision& other) {
        return one.record.confidence.value_or(-1.0) < other.record.confidence.value_or(-1.0);
      });
  return found == faces.end() ? nullptr : &*found;
}

Record unsupported(const Record& whole, const std::string& why) {
  if (!whole.is_measured || whole.confidence.value_or(0.0) >= kSureAlone) return whole;
  return undecided(whole, format("%s, and alone the whole picture's offset of %s is trusted from a confidence of %g on, "
                                 "not at %.3f (path 'whole' judges by the calibration alone)",
                                 why.c_str(), offset_of(whole).c_str(), kSureAlone, *whole.confidence));
}

Record combined(const Record& whole, const std::vector<FaceDecision>& faces, double tolerance_ms) {
  const FaceDecision* best = surest(faces);
  if (best == nullptr) return unsupported(whole);
  const Record& face = best->record;
  const auto rival = std::find_if(faces.begin(), faces.end(), [&](const FaceDecision& other) {
    return is_disputed(other.record, face, tolerance_ms) && odds_of(face) < kClearOdds * odds_of(other.record);
  });
  Record chosen = face;
  if (rival != faces.end()) {
    chosen = undecided(face, "one face says " + offset_of(face) + " and another " + offset_of(rival->record));
  } else if (is_disputed(whole, face, tolerance_ms)) {
    chosen = undecided(face, "the face says " + offset_of(face) + " and the whole picture " + offset_of(whole));
  } else if (whole.is_measured && !face.is_measured) {
    if (!best->view.shortcoming().empty()) {
      chosen = unsupported(whole);
    } else if (agree(whole, face, tolerance_ms)) {
      chosen = whole;
    } else {
      chosen = unsupported(whole, "the lips that are seen do not fit");
    }
  } else if (!face.is_measured && face.confidence && faces.size() > 1) {
    chosen.reason = format("none of the %zu faces is sure to fit; of the best one, %s", faces.size(),
                           face.reason.empty() ? "None" : face.reason.c_str());
  }
  chosen.face = best->view;
  chosen.vote.reset();
  if (face.is_measured) chosen.vote = FaceVote{best->view.track, face.confidence.value_or(0.0)};
  return chosen;
}

bool agree(const Record& one, const Record& other, double tolerance_ms) {
  if (!one.audio_offset_ms || !other.audio_offset_ms) return false;
  return std::abs(*one.audio_offset_ms - *other.audio_offset_ms) <= tolerance_ms;
}

bool is_disputed(const Record& one, const Record& other, double tolerance_ms) {
  return one.is_measured && other.is_measured && !agree(one, other, tolerance_ms);
}

double tolerance_ms_of(const std::optional<Calibration>& one, const std::optional<Calibration>& other) {
  return std::max(one ? one->tolerance_ms : 0.0, other ? other->tolerance_ms : 0.0);
}

}  // namespace cavsync
