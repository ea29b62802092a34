// Points of a face mesh, in pixels of a frame.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "resize.h"

namespace cavsync {

constexpr std::size_t kNumPoints = 468;
constexpr std::size_t kRightEyeOuter = 33, kLeftEyeOuter = 263;
// Longest time between two frames of a face within which it is interpolated.
constexpr double kMaxGapSeconds = 0.12;

struct Point {
  double x, y;
};

// x and y in pixels of the frame, and depth in the same unit.
struct MeshPoint {
  double x, y, z;
};

using MeshPoints = std::array<MeshPoint, kNumPoints>;

// From the outer corner of the right eye to that of the left one.
inline Point eye_axis(const MeshPoints& points) {
  return {points[kLeftEyeOuter].x - points[kRightEyeOuter].x, points[kLeftEyeOuter].y - points[kRightEyeOuter].y};
}

inline double eye_distance_px(const MeshPoints& points) {
  const Point across = eye_axis(points);
  return std::sqrt(across.x * across.x + across.y * across.y);
}

// Intersection over union.
double overlap(const Box& one, const Box& other);

// 1 where the tip of the nose lies midway between the eyes, 0 where it lies above one of their outer corners.
double frontality(const MeshPoints& points);

Box box_of(const MeshPoints& points);

}  // namespace cavsync
