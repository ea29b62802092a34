// The verdict of two paths: the whole picture's, and those of the faces in it.
#pragma once

#include <vector>

#include "faces/face_view.h"
#include "verdict.h"

namespace cavsync {

// How many times the odds of one face must be those of another for it to decide against that one.
constexpr double kClearOdds = 4.0;

// The decision that one face gives.
struct FaceDecision {
  Record record;
  FaceView view;
};

// The decision that a face gives on the part of a stream that ends at `span.time_seconds`; `evidence` is without motion,
// which the lips have to show.
FaceDecision judge_face(const Curve& curve, const FaceView& view, const Evidence& evidence,
                        const std::optional<Calibration>& calibration, const Profile& profile, const TimeSpan& span,
                        double resolution_floor_ms);

// The face with the highest confidence, the first of several; null for none.
const FaceDecision* surest(const std::vector<FaceDecision>& faces);

// The whole picture's decision where faces were looked for and none supports it: only if it is very sure.
Record unsupported(const Record& whole, const std::string& why = "no face is seen well enough");

// The decision of both paths. The face with the highest confidence speaks for all of them. Where one path alone decides,
// it does; where both do and their offsets lie at most `tolerance_ms` apart, the face does, whose lips show the moment
// of a sound best; farther apart, neither. Nor does any where two faces decide that far apart and are about as sure.
// Where no face decides, the whole picture does only if it is very sure, or the best match of lips that are seen
// supports it. Where neither path decides, a face that is there gives the reason.
Record combined(const Record& whole, const std::vector<FaceDecision>& faces, double tolerance_ms);

// Whether both have a best match, decided on or not, at about the same offset.
bool agree(const Record& one, const Record& other, double tolerance_ms);
// Whether both decide and contradict each other.
bool is_disputed(const Record& one, const Record& other, double tolerance_ms);
// Largest distance at which two paths agree.
double tolerance_ms_of(const std::optional<Calibration>& one, const std::optional<Calibration>& other);
// Odds that a decision of this probability is right.
double odds_of(double probability);

}  // namespace cavsync
