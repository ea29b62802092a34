// A face in a window: where it is, how well its mouth can be seen, and why it may tell nothing.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "faces/points.h"

namespace cavsync {

struct FrameSize {
  int width = 0;
  int height = 0;
};

// How a face is seen at a moment; `mouth_opening` is in distances between the outer corners of the eyes, `box` (left, top,
// right, bottom) in pixels of a frame of `frame_size`.
struct FaceLook {
  float presence;
  float frontality;
  float eye_distance_px;
  float mouth_opening;
  std::array<float, 4> box;
  FrameSize frame_size;
};

// How lips move in a window: `opening_range` is the spread of the opening between them (1st to 99th percentile);
// `steadiness` is the correlation of each change of the opening with the next one, NaN where it is unknown: lips that
// speak open and close over several frames, whereas the mesh's guesses at hidden lips jump to and fro.
struct LipMotion {
  double opening_range;
  double steadiness;

  // Whether the lips jump to and fro.
  bool jitters() const { return steadiness < 0.0; }
};

// Measure the openings (n) of one face at these times (n), ascending but for gaps.
LipMotion lip_motion(const std::vector<double>& times_seconds, const std::vector<double>& opening);

// Medians over the moments in which the face was seen; `track` numbers the faces of the stream; `box` is as in a look;
// `share` is the part of the window with the face in it.
struct FaceView {
  int track = 0;
  std::array<double, 4> box{};
  FrameSize frame_size;
  double presence = 0;
  double frontality = 0;
  double eye_distance_px = 0;
  LipMotion lips{};
  double share = 0;

  // Whether the lips do not move, or only jitter: nothing is decided on them.
  bool is_mute() const;
  // Why this face may tell nothing, as a clause; empty where it is seen well and its lips move.
  std::string shortcoming() const;
  // What in the motion of the lips explains that nothing is decided on them, as a clause; empty for nothing.
  std::string doubt() const;
};

// What a view is made of, gathered moment by moment.
class LookMedians {
 public:
  void add(const std::array<float, 4>& box, float presence, float frontality, float eye_distance_px);
  // A view with the medians, without the rest.
  FaceView view() const;

 private:
  std::array<std::vector<double>, 7> values_;
};

}  // namespace cavsync
