#include "faces/face_view.h"

#include <cmath>
#include <limits>

#include "statistics.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr double kMinFrontality = 0.25;
constexpr double kMinEyeDistancePx = 16.0;
// Ranges of the opening between the lips, in distances between the eyes. Below the first a mouth does not move; below
// the second, lips hardly move: few people speak like that, and hidden or closed lips seem to. Below the third, lips
// that jitter are not looked at: hidden ones matched by chance, surely.
constexpr double kStillOpening = 0.02;
constexpr double kLittleOpening = 0.04;
constexpr double kJitteringOpening = 0.08;

// NaN for fewer than three pairs, or where one of the two does not vary.
double correlation(const std::vector<double>& first, const std::vector<double>& second) {
  if (first.size() <= 2) return std::numeric_limits<double>::quiet_NaN();
  const double mean_first = mean(first), mean_second = mean(second);
  double shared = 0, spread_first = 0, spread_second = 0;
  for (std::size_t place = 0; place < first.size(); ++place) {
    const double one = first[place] - mean_first, other = second[place] - mean_second;
    shared += one * other;
    spread_first += one * one;
    spread_second += other * other;
  }
  if (!(spread_first > 0 && spread_second > 0)) return std::numeric_limits<double>::quiet_NaN();
  return shared / std::sqrt(spread_first) / std::sqrt(spread_second);
}

}  // namespace

LipMotion lip_motion(const std::vector<double>& times_seconds, const std::vector<double>& opening) {
  const auto is_whole = [&](std::size_t place) {
    const double step_seconds = times_seconds[place + 1] - times_seconds[place];
    return step_seconds > 0 && step_seconds < kMaxGapSeconds;
  };
  std::vector<double> first, second;
  for (std::size_t place = 0; place + 2 < opening.size(); ++place) {
    if (!is_whole(place) || !is_whole(place + 1)) continue;
    first.push_back(opening[place + 1] - opening[place]);
    second.push_back(opening[place + 2] - opening[place + 1]);
  }
  return {percentile(opening, 99) - percentile(opening, 1), correlation(first, second)};
}

bool FaceView::is_mute() const { return lips.opening_range < (lips.jitters() ? kJitteringOpening : kStillOpening); }

std::string FaceView::shortcoming() const {
  if (frontality < kMinFrontality) return "the face is turned away from the camera";
  if (eye_distance_px < kMinEyeDistancePx) {
    return format("the face is too small (%.0f pixels between the eyes, at least %.0f are needed)", eye_distance_px,
                  kMinEyeDistancePx);
  }
  return is_mute() ? doubt() : "";
}

std::string FaceView::doubt() const {
  if (lips.opening_range < kLittleOpening) {
    return "the lips hardly move (closed, still or hidden mouth, or the voice is somebody else's)";
  }
  return lips.jitters()
             ? "the lips seem to jitter rather than to speak (hidden mouth, still picture, or a poor picture)"
             : "";
}

void LookMedians::add(const std::array<float, 4>& box, float presence, float frontality, float eye_distance_px) {
  const float values[] = {box[0], box[1], box[2], box[3], presence, frontality, eye_distance_px};
  for (std::size_t place = 0; place < values_.size(); ++place) values_[place].push_back(static_cast<double>(values[place]));
}

FaceView LookMedians::view() const {
  FaceView view;
  for (std::size_t place = 0; place < view.box.size(); ++place) view.box[place] = median(values_[place]);
  view.presence = median(values_[4]);
  view.frontality = median(values_[5]);
  view.eye_distance_px = median(values_[6]);
  return view;
}

}  // namespace cavsync
