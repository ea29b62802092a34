#include "faces/mouth.h"

#include <algorithm>

#include "faces/head.h"
#include "faces/region.h"

namespace cavsync {

namespace {

// Rings in order from the right corner of the mouth along the lower lip: around the lips, then inside them; then jaw
// and cheeks. As in cavsync/media/mouth.py.
constexpr std::size_t kNumRing = 20;
constexpr std::array<std::size_t, 49> kPoints = {
    61,  146, 91, 181, 84,  17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0,   37, 39,  40,  185, 78,  95, 88, 178, 87,
    14,  317, 402, 318, 324, 308, 415, 310, 311, 312, 13,  82,  81,  80,  191, 152, 172, 397, 136, 365, 50,  280, 205, 425};
constexpr std::size_t kInnerTop = 13, kInnerBottom = 14, kRightCorner = 61, kLeftCorner = 291;
// Side of the mouth's square in distances between the outer corners of the eyes.
constexpr double kMouthSide = 0.9;

static_assert(kNumLandmarkFeatures == 3 * kPoints.size() + 3);

// The area inside the lips, by the shoelace formula.
double lip_area(const MeshPoints& face) {
  double twice = 0;
  for (std::size_t place = 0; place < kNumRing; ++place) {
    const MeshPoint& point = face[kPoints[kNumRing + place]];
    const MeshPoint& next = face[kPoints[kNumRing + (place + 1) % kNumRing]];
    twice += point.x * next.y - point.y * next.x;
  }
  return std::abs(twice) / 2;
}

double distance(const MeshPoint& one, const MeshPoint& other) {
  const double x = one.x - other.x, y = one.y - other.y;
  return std::sqrt(x * x + y * y);
}

// The square of the frame around the mouth, upright along the eyes; its side follows the size of the face.
Region mouth_region(const MeshPoints& points) {
  Point centre{0, 0};
  for (const std::size_t index : {kRightCorner, kLeftCorner, kInnerTop, kInnerBottom}) {
    centre.x += points[index].x / 4;
    centre.y += points[index].y / 4;
  }
  const Point across = eye_axis(points);
  return {centre, kMouthSide * std::max(eye_distance_px(points), 1.0), std::atan2(across.y, across.x)};
}

}  // namespace

std::vector<std::uint8_t> mouth_image(const MeshPoints& points, const RgbView& frame) {
  const RgbImage crop = mouth_region(points).crop(frame, kMouthSize);
  std::vector<std::uint8_t> grey(crop.pixels.size() / kChannels);
  const std::uint8_t* pixel = crop.pixels.data();
  for (std::uint8_t& level : grey) {
    // The mean of three numbers, rounded.
    level = static_cast<std::uint8_t>((2 * (pixel[0] + pixel[1] + pixel[2]) + 3) / 6);
    pixel += kChannels;
  }
  return grey;
}

std::vector<float> face_features(const MeshPoints& points, const std::vector<std::uint8_t>& mouth) {
  const MeshPoints face = frontal(points);
  std::vector<float> features;
  features.reserve(kNumFaceFeatures);
  for (const std::size_t index : kPoints) {
    for (const double value : {face[index].x, face[index].y, face[index].z}) features.push_back(static_cast<float>(value));
  }
  features.push_back(static_cast<float>(lip_area(face)));
  features.push_back(static_cast<float>(distance(face[kRightCorner], face[kLeftCorner])));
  features.push_back(static_cast<float>(distance(face[kInnerTop], face[kInnerBottom])));
  features.insert(features.end(), mouth.begin(), mouth.end());
  return features;
}

}  // namespace cavsync
