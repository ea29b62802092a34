#include "faces/points.h"

#include <algorithm>

namespace cavsync {

namespace {

constexpr std::size_t kNoseTip = 1;

double area(double left, double top, double right, double bottom) {
  return std::max(0.0, right - left) * std::max(0.0, bottom - top);
}

}  // namespace

double overlap(const Box& one, const Box& other) {
  const double shared = area(std::max(one.left, other.left), std::max(one.top, other.top),
                             std::min(one.right, other.right), std::min(one.bottom, other.bottom));
  const double together = area(one.left, one.top, one.right, one.bottom) +
                          area(other.left, other.top, other.right, other.bottom) - shared;
  return together > 0 ? shared / together : 0.0;
}

double frontality(const MeshPoints& points) {
  const Point across = eye_axis(points);
  const double length = across.x * across.x + across.y * across.y;
  if (length == 0) return 0.0;
  const double share = ((points[kNoseTip].x - points[kRightEyeOuter].x) * across.x +
                        (points[kNoseTip].y - points[kRightEyeOuter].y) * across.y) /
                       length;
  return std::clamp(1 - 2 * std::abs(share - 0.5), 0.0, 1.0);
}

Box box_of(const MeshPoints& points) {
  Box box{points[0].x, points[0].y, points[0].x, points[0].y};
  for (const MeshPoint& point : points) {
    box.left = std::min(box.left, point.x);
    box.top = std::min(box.top, point.y);
    box.right = std::max(box.right, point.x);
    box.bottom = std::max(box.bottom, point.y);
  }
  return box;
}

}  // namespace cavsync
