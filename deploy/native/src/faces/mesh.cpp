#include "faces/mesh.h"

#include <algorithm>

#include "error.h"

namespace cavsync {

namespace {

// A region is this much wider than the face it is to hold.
constexpr double kMargin = 1.5;

Region region(const Point& centre, double side, const Point& across) {
  return {centre, std::max(side, 1.0), std::atan2(across.y, across.x)};
}

}  // namespace

Region region_of_detection(const Detection& face) {
  const Box& box = face.box;
  return region({(box.left + box.right) / 2, (box.top + box.bottom) / 2},
                std::max(box.right - box.left, box.bottom - box.top) * kMargin,
                {face.left_eye.x - face.right_eye.x, face.left_eye.y - face.right_eye.y});
}

Region region_of_mesh(const MeshPoints& points) {
  const Point across = eye_axis(points);
  const double angle = std::atan2(across.y, across.x);
  const double cosine = std::cos(angle), sine = std::sin(angle);
  Point low{1e300, 1e300}, high{-1e300, -1e300};
  for (const MeshPoint& point : points) {
    const double x = point.x * cosine + point.y * sine, y = -point.x * sine + point.y * cosine;
    low = {std::min(low.x, x), std::min(low.y, y)};
    high = {std::max(high.x, x), std::max(high.y, y)};
  }
  const double x = (low.x + high.x) / 2, y = (low.y + high.y) / 2;
  return region({x * cosine - y * sine, x * sine + y * cosine},
                std::max(high.x - low.x, high.y - low.y) * kMargin, across);
}

std::vector<MeasuredFace> measured_faces(const Engine& graph, const RgbView& frame, const std::vector<Region>& regions) {
  if (regions.empty()) return {};
  const auto count = static_cast<std::int64_t>(regions.size());
  std::vector<std::uint8_t> crops;
  for (const Region& region : regions) {
    const RgbImage crop = region.crop(frame, kMeshSize);
    crops.insert(crops.end(), crop.pixels.begin(), crop.pixels.end());
  }
  const Tensor found = graph.run(crops, {count, kMeshSize, kMeshSize, kChannels}, "points");
  if (found.values.size() != regions.size() * kMeshValues) {
    throw bundle_error("the face mesh gives another number of values than was declared: export the bundle again");
  }
  std::vector<MeasuredFace> faces;
  const float* value = found.values.data();
  for (const Region& region : regions) {
    MeasuredFace face;
    for (MeshPoint& point : face.points) {
      const double x = static_cast<double>(value[0]) / kMeshSize, y = static_cast<double>(value[1]) / kMeshSize;
      const Point placed = region.to_frame({x, y});
      point = {placed.x, placed.y, static_cast<double>(value[2]) / kMeshSize * region.side};
      value += 3;
    }
    face.presence = sigmoid(static_cast<double>(*value++));
    faces.push_back(face);
  }
  return faces;
}

}  // namespace cavsync
