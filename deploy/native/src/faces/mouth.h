// What the face path sees of one frame: lip landmarks without the motion of the head, and the aligned mouth.
#pragma once

#include <cstdint>
#include <vector>

#include "faces/points.h"

namespace cavsync {

// Side of the mouth's image in pixels.
constexpr int kMouthSize = 48;
constexpr std::size_t kNumLandmarkFeatures = 3 * 49 + 3;
constexpr std::size_t kNumFaceFeatures = kNumLandmarkFeatures + std::size_t{kMouthSize} * kMouthSize;
// Place of the opening between the lips among the features.
constexpr std::size_t kOpening = kNumLandmarkFeatures - 1;

// The mouth of a face, upright along the eyes, grey (kMouthSize, kMouthSize).
std::vector<std::uint8_t> mouth_image(const MeshPoints& points, const RgbView& frame);

// The features (kNumFaceFeatures) of a face: x, y and z of points around the mouth, the area inside the lips, the width
// of the mouth and its opening, all of the head seen from the front, then the `mouth_image`.
std::vector<float> face_features(const MeshPoints& points, const std::vector<std::uint8_t>& mouth);

}  // namespace cavsync
