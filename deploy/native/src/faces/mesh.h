// The face mesh: 468 points of one face in a rotated square region of the frame (arXiv 1907.06724).
#pragma once

#include <vector>

#include "faces/detector.h"
#include "faces/region.h"

namespace cavsync {

constexpr int kMeshSize = 192;
constexpr std::int64_t kMeshValues = 3 * kNumPoints + 1;

// The square around a detected face, upright along its eyes.
Region region_of_detection(const Detection& face);
// The square around a mesh, upright along its eyes.
Region region_of_mesh(const MeshPoints& points);

struct MeasuredFace {
  MeshPoints points;
  // The probability that the region holds a face.
  double presence;
};

// Measure the face in each region of a frame. `graph` takes uint8 RGB (count, 192, 192, 3) and gives `points`: x, y and
// z of each point in pixels, and the logit of the presence of a face.
std::vector<MeasuredFace> measured_faces(const Engine& graph, const RgbView& frame, const std::vector<Region>& regions);

}  // namespace cavsync
