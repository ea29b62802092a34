#include "faces/face_grid.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "faces/mouth.h"

namespace cavsync {

namespace {

// Containers round timestamps by as much.
constexpr double kRoundingSeconds = 1e-3;
constexpr double kOnGrid = 1e-6;
constexpr std::size_t kNumLooks = 7;
constexpr std::size_t kNumValues = kNumFaceFeatures + kNumLooks;

std::int64_t whole(double value) { return static_cast<std::int64_t>(value); }

// Features and look in one row: both are interpolated together.
std::vector<float> values_of(const Face& face, const RgbView& frame) {
  std::vector<float> values = face_features(face.points, mouth_image(face.points, frame));
  for (const double value : {face.presence, frontality(face.points), eye_distance_px(face.points), face.box.left,
                             face.box.top, face.box.right, face.box.bottom}) {
    values.push_back(static_cast<float>(value));
  }
  return values;
}

FaceLook look_of(const float* values, const FrameSize& frame_size) {
  const float* look = values + kNumFaceFeatures;
  return {look[0], look[1], look[2], values[kOpening], {look[3], look[4], look[5], look[6]}, frame_size};
}

}  // namespace

FaceGrid::FaceGrid(const FaceEngines& engines, std::int64_t group_frames)
    : engines_(engines),
      rate_hz_(engines.spec().frame_rate_hz),
      num_frames_(engines.spec().num_frames),
      group_frames_(group_frames) {}

void FaceGrid::push(const std::vector<Face>& faces, const RgbView& frame, double pts_seconds) {
  if (pending_.empty()) group_ = group_of(pts_seconds);
  std::map<int, std::shared_ptr<Run>> runs;
  for (const Face& face : faces) {
    const auto seen = std::make_shared<const std::vector<float>>(values_of(face, frame));
    const auto known = runs_.find(face.track);
    std::shared_ptr<Run> run = known == runs_.end() ? nullptr : known->second;
    if (!run || pts_seconds - run->last_seconds > kMaxGapSeconds + kRoundingSeconds) {
      const std::int64_t first = whole(std::ceil(pts_seconds * rate_hz_ - kOnGrid));
      run = std::make_shared<Run>(Run{face.track, first, first, pts_seconds, seen, {frame.width, frame.height}, {}, {}});
    }
    extend(run, seen, pts_seconds);
    runs[face.track] = run;
  }
  runs_ = std::move(runs);
  next_index_ = whole(std::floor(pts_seconds * rate_hz_ + kOnGrid)) + 1;
  if (pending_.empty()) advance();
}

// Add the grid frames after the run's last frame, up to this one.
void FaceGrid::extend(const std::shared_ptr<Run>& run, Seen seen, double pts_seconds) {
  const double step_seconds = pts_seconds - run->last_seconds;
  for (double wanted = static_cast<double>(run->next_index) / rate_hz_; wanted <= pts_seconds + kOnGrid / rate_hz_;
       wanted = static_cast<double>(run->next_index) / rate_hz_) {
    const double share =
        step_seconds > 0 ? std::clamp((wanted - run->last_seconds) / step_seconds, 0.0, 1.0) : 1.0;
    pending_.push_back({run, run->last, seen, static_cast<float>(share)});
    ++run->next_index;
  }
  run->last_seconds = pts_seconds;
  run->last = std::move(seen);
}

std::vector<FaceInstant> FaceGrid::encode() {
  std::vector<GridFrame> pending;
  pending.swap(pending_);
  std::vector<std::shared_ptr<Run>> runs;
  if (!pending.empty()) {
    std::vector<float> features;
    features.reserve(pending.size() * kNumFaceFeatures);
    std::vector<float> values(kNumValues);
    for (const GridFrame& frame : pending) {
      for (std::size_t place = 0; place < kNumValues; ++place) {
        const float before = (*frame.before)[place];
        values[place] = before + frame.share * ((*frame.after)[place] - before);
      }
      features.insert(features.end(), values.begin(), values.begin() + kNumFaceFeatures);
      frame.run->looks.push_back(look_of(values.data(), frame.run->frame_size));
      if (std::find(runs.begin(), runs.end(), frame.run) == runs.end()) runs.push_back(frame.run);
    }
    const std::vector<float> encoded = engines_.encode_frames(features);
    const auto width = static_cast<std::ptrdiff_t>(engines_.encoded_dim());
    auto code = encoded.begin();
    for (const GridFrame& frame : pending) {
      frame.run->encoded.insert(frame.run->encoded.end(), code, code + width);
      code += width;
    }
  }
  std::vector<FaceInstant> instants;
  for (const std::shared_ptr<Run>& run : runs) embed(*run, instants);
  advance();
  std::stable_sort(instants.begin(), instants.end(), [](const FaceInstant& one, const FaceInstant& other) {
    return std::tie(one.time_seconds, one.track) < std::tie(other.time_seconds, other.track);
  });
  return instants;
}

// Embed the moments that a run's encoded frames complete, and release frames that no later one needs.
void FaceGrid::embed(Run& run, std::vector<FaceInstant>& instants) {
  const std::int64_t num_moments = static_cast<std::int64_t>(run.looks.size()) - num_frames_ + 1;
  if (num_moments < 1) return;
  const double middle = static_cast<double>(num_frames_ - 1) / 2;
  const double first_seconds = (static_cast<double>(run.first_index) + middle) / rate_hz_;
  const std::vector<float> embeddings = engines_.embed_frames(run.encoded);
  const auto dim = static_cast<std::ptrdiff_t>(engines_.embedding_dim());
  for (std::int64_t place = 0; place < num_moments; ++place) {
    const auto embedding = embeddings.begin() + place * dim;
    instants.push_back({run.track, first_seconds + static_cast<double>(place) / rate_hz_,
                        {embedding, embedding + dim},
                        run.looks[static_cast<std::size_t>(num_frames_ / 2 + place)]});
  }
  run.encoded.erase(run.encoded.begin(), run.encoded.begin() + num_moments * engines_.encoded_dim());
  run.looks.erase(run.looks.begin(), run.looks.begin() + num_moments);
  run.first_index += num_moments;
}

void FaceGrid::begin_again() {
  runs_.clear();
  pending_.clear();
  group_ = next_index_ = 0;
  horizon_seconds_ = -std::numeric_limits<double>::infinity();
}

// The moments of a face that is still followed lie half a window before its next grid frame; those of a face yet to come
// half a window after it.
void FaceGrid::advance() {
  const double waiting = runs_.empty() ? 0.0 : static_cast<double>(num_frames_ - 1) / 2;
  horizon_seconds_ = (static_cast<double>(next_index_) - waiting) / rate_hz_;
}

std::int64_t FaceGrid::group_of(double pts_seconds) const {
  return whole(std::floor((pts_seconds * rate_hz_ + kOnGrid) / static_cast<double>(group_frames_)));
}

}  // namespace cavsync
