// The faces of a stream on the grid of the face model: each grid frame encoded once, each moment embedded once.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "faces/face_engines.h"
#include "faces/face_view.h"
#include "faces/finder.h"

namespace cavsync {

// A moment of one face: the middle of the grid frames that its embedding (D) sees.
struct FaceInstant {
  int track;
  double time_seconds;
  std::vector<float> embedding;
  FaceLook look;
};

// Frames come at any rate; the model sees `frame_rate_hz` of them per second, at the multiples of its period on the
// stream's clock. What a face looks like at such a time lies between its two neighbouring frames, linearly. Push the
// faces of every frame of one clock in order; take moments from `encode`, about once per group. Where frames lie depends
// on their timestamps alone, and so do the batches.
class FaceGrid {
 public:
  FaceGrid(const FaceEngines& engines, std::int64_t group_frames);

  // Every moment before this time was returned by `encode`.
  double horizon_seconds() const { return horizon_seconds_; }
  // Whether `encode` is to be called before the frame at this time is pushed.
  bool is_due(double pts_seconds) const { return !pending_.empty() && group_of(pts_seconds) != group_; }
  void push(const std::vector<Face>& faces, const RgbView& frame, double pts_seconds);
  // Encode the grid frames that wait, and return the moments that they complete, in order of time.
  std::vector<FaceInstant> encode();
  // Begin again on another clock.
  void begin_again();

 private:
  // A face in a frame: its features (kNumFaceFeatures), then its look.
  using Seen = std::shared_ptr<const std::vector<float>>;

  // Unbroken grid frames of one face: those encoded and still needed, and the latest frame.
  struct Run {
    int track;
    std::int64_t first_index;
    std::int64_t next_index;
    double last_seconds;
    Seen last;
    FrameSize frame_size;
    std::vector<float> encoded;
    std::vector<FaceLook> looks;
  };
  // A grid frame of a run, at `share` of the way from one frame to the next.
  struct GridFrame {
    std::shared_ptr<Run> run;
    Seen before, after;
    float share;
  };

  void extend(const std::shared_ptr<Run>& run, Seen seen, double pts_seconds);
  void embed(Run& run, std::vector<FaceInstant>& instants);
  void advance();
  std::int64_t group_of(double pts_seconds) const;

  const FaceEngines& engines_;
  double rate_hz_;
  std::int64_t num_frames_;
  std::int64_t group_frames_;
  std::map<int, std::shared_ptr<Run>> runs_;
  std::vector<GridFrame> pending_;
  std::int64_t group_ = 0;
  double horizon_seconds_ = -std::numeric_limits<double>::infinity();
  std::int64_t next_index_ = 0;
};

}  // namespace cavsync
