// Faces followed from frame to frame: the mesh where a face was, the detector only where one may be new or lost.
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "faces/mesh.h"

namespace cavsync {

// One face in one frame; `track` numbers the faces that were followed, `presence` is the mesh's own probability that it
// is a face.
struct Face {
  int track;
  MeshPoints points;
  double presence;
  Box box;

  Face(int number, const MeasuredFace& measured)
      : track(number), points(measured.points), presence(measured.presence), box(box_of(measured.points)) {}
};

// Follows the faces of one stream of frames. A cut ends all tracks; so does a face that leaves, turns away or moves by
// more than half of itself from one frame to the next. Where the first detector finds no face and none is followed, the
// second one, which sees smaller faces, is asked.
class FaceFinder {
 public:
  // `detectors` in the order in which they are asked.
  FaceFinder(std::vector<FaceDetector> detectors, const Engine& mesh);

  // The faces of the next frame; the longest followed first.
  std::vector<Face> push(const RgbView& frame, double pts_seconds);

 private:
  static constexpr std::size_t kThumbnail = 24;
  using Thumbnail = std::array<double, kThumbnail * kThumbnail>;

  static Thumbnail thumbnail_of(const RgbView& frame);
  bool is_cut(const RgbView& frame);
  void follow(const RgbView& frame);
  void search(const RgbView& frame);
  bool is_new(const Box& box) const;

  std::vector<FaceDetector> detectors_;
  const Engine& mesh_;
  std::vector<Face> faces_;
  int num_tracks_ = 0;
  double searched_seconds_ = -std::numeric_limits<double>::infinity();
  double wait_seconds_;
  std::optional<Thumbnail> thumbnail_;
  int width_ = 0, height_ = 0;
};

}  // namespace cavsync
