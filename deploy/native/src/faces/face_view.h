// A face in a window: where it is, how well its mouth can be seen, and why it may tell nothing.
#pragma once

#include <string>
#include <vector>

#include "faces/points.h"

namespace cavsync {

// How a face is seen at a moment; `mouth_opening` is in distances between the outer corners of the eyes, `box` in pixels
// of the frame.
struct FaceLook {
  float presence;
  float frontality;
  float eye_distance_px;
  float mouth_opening;
  float left, top, right, bottom;
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

// Medians over the moments in which the face was seen; `track` numbers the faces of the stream.
struct FaceView {
  int track;
  double frontality;
  double eye_distance_px;
  LipMotion lips;

  // Whether the lips do not move, or only jitter: nothing is decided on them.
  bool is_mute() const;
  // Why this face may tell nothing, as a clause; empty where it is seen well and its lips move.
  std::string shortcoming() const;
  // What in the motion of the lips explains that nothing is decided on them, as a clause; empty for nothing.
  std::string doubt() const;
};

}  // namespace cavsync
