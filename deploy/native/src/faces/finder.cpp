#include "faces/finder.h"

#include <algorithm>
#include <cmath>

namespace cavsync {

namespace {

// Faces that are followed at a time: what a frame costs is bounded whatever it shows.
constexpr std::size_t kMaxFaces = 3;
constexpr double kMinPresence = 0.5;
// Shortest time from one search to the next: after a cut, or while a face was lost. It doubles with each search that
// finds none.
constexpr double kSearchSeconds = 0.12;
// Longest time from one search to the next, also while faces are followed.
constexpr double kLookAroundSeconds = 0.6;
// A face whose box overlaps its last one by less is another face.
constexpr double kMinOverlap = 0.4;
// A face that is larger or smaller than in the last frame by more is one after a cut: no head comes nearer so fast.
constexpr double kMaxGrowth = 1.2;
// A detection that overlaps a followed face by as much is that face.
constexpr double kDetectionOverlap = 0.2;
// Mean absolute difference of two frames, made small and of grey levels 0..255, above which a cut lies between.
constexpr double kCutDifference = 28.0;
// Pixels that are looked at for each side of a thumbnail's pixel.
constexpr std::size_t kSamples = 4;

// How many times larger, or smaller, a face is than it was.
double growth(const MeshPoints& face, const MeshPoints& last) {
  const double now = std::max(eye_distance_px(face), 1e-6), before = std::max(eye_distance_px(last), 1e-6);
  return std::max(now, before) / std::min(now, before);
}

}  // namespace

FaceFinder::FaceFinder(std::vector<FaceDetector> detectors, const Engine& mesh)
    : detectors_(std::move(detectors)), mesh_(mesh), wait_seconds_(kSearchSeconds) {}

std::vector<Face> FaceFinder::push(const RgbView& frame, double pts_seconds) {
  if (is_cut(frame)) {
    faces_.clear();
    wait_seconds_ = kSearchSeconds;
  }
  if (pts_seconds < searched_seconds_) searched_seconds_ = -std::numeric_limits<double>::infinity();
  const std::size_t before = faces_.size();
  follow(frame);
  if (faces_.size() < before) wait_seconds_ = kSearchSeconds;
  if (faces_.size() < kMaxFaces && pts_seconds - searched_seconds_ >= wait_seconds_) {
    searched_seconds_ = pts_seconds;
    search(frame);
    wait_seconds_ = faces_.empty() ? std::min(2 * wait_seconds_, kLookAroundSeconds) : kLookAroundSeconds;
  }
  return faces_;
}

// Whether a cut lies between this frame and the last one; a change of size is one.
bool FaceFinder::is_cut(const RgbView& frame) {
  const std::optional<Thumbnail> last = thumbnail_;
  thumbnail_ = thumbnail_of(frame);
  const bool is_resized = frame.width != width_ || frame.height != height_;
  width_ = frame.width;
  height_ = frame.height;
  if (!last || is_resized) return last.has_value();
  double difference = 0;
  for (std::size_t place = 0; place < last->size(); ++place) difference += std::abs((*thumbnail_)[place] - (*last)[place]);
  return difference / static_cast<double>(last->size()) > kCutDifference;
}

// Measure the faces of the last frame again, and keep those that are still there.
void FaceFinder::follow(const RgbView& frame) {
  std::vector<Face> before;
  before.swap(faces_);
  std::vector<Region> regions;
  for (const Face& face : before) regions.push_back(region_of_mesh(face.points));
  const std::vector<MeasuredFace> measured = measured_faces(mesh_, frame, regions);
  for (std::size_t place = 0; place < before.size(); ++place) {
    const Face face(before[place].track, measured[place]);
    const bool is_there = face.presence >= kMinPresence && overlap(face.box, before[place].box) >= kMinOverlap;
    if (is_there && growth(face.points, before[place].points) <= kMaxGrowth && is_new(face.box)) faces_.push_back(face);
  }
}

// Add the faces that the detectors see and that are not followed yet.
void FaceFinder::search(const RgbView& frame) {
  std::vector<Detection> fresh;
  for (const FaceDetector& detector : detectors_) {
    fresh = detector.detect(frame);
    const auto is_followed = [&](const Detection& found) {
      return std::any_of(faces_.begin(), faces_.end(),
                         [&](const Face& face) { return overlap(found.box, face.box) >= kDetectionOverlap; });
    };
    fresh.erase(std::remove_if(fresh.begin(), fresh.end(), is_followed), fresh.end());
    if (!fresh.empty() || !faces_.empty()) break;
  }
  const std::size_t room = kMaxFaces - faces_.size();
  for (std::size_t place = 0; place < std::min(room, fresh.size()); ++place) {
    const MeasuredFace first = measured_faces(mesh_, frame, {region_of_detection(fresh[place])}).front();
    // The detector's square is rough: measured again in the square of its own first points.
    const Face face(num_tracks_, measured_faces(mesh_, frame, {region_of_mesh(first.points)}).front());
    if (face.presence >= kMinPresence && is_new(face.box)) {
      faces_.push_back(face);
      ++num_tracks_;
    }
  }
}

// Whether the box is that of none of the followed faces.
bool FaceFinder::is_new(const Box& box) const {
  return std::all_of(faces_.begin(), faces_.end(),
                     [&](const Face& face) { return overlap(box, face.box) <= kMinOverlap; });
}

// Mean grey levels of a few pixels in each part of a frame.
FaceFinder::Thumbnail FaceFinder::thumbnail_of(const RgbView& frame) {
  const std::vector<int> columns = spread_positions(frame.width, kSamples * kThumbnail);
  const std::vector<int> rows = spread_positions(frame.height, kSamples * kThumbnail);
  Thumbnail thumbnail{};
  for (std::size_t y = 0; y < rows.size(); ++y) {
    const std::uint8_t* row = frame.row(rows[y]);
    double* target = thumbnail.data() + y / kSamples * kThumbnail;
    for (std::size_t x = 0; x < columns.size(); ++x) {
      const std::uint8_t* pixel = row + std::ptrdiff_t{kChannels} * columns[x];
      target[x / kSamples] += pixel[0] + pixel[1] + pixel[2];
    }
  }
  for (double& level : thumbnail) level /= kChannels * kSamples * kSamples;
  return thumbnail;
}

}  // namespace cavsync
