#include "faces/head.h"

#include <algorithm>

#include "faces/matrix3.h"

namespace cavsync {

namespace {

// Points that speaking hardly moves: eyes, brows, nose, forehead, temples and ears.
constexpr std::array<std::size_t, 27> kRigidPoints = {33, 133, 362, 263, 168, 6,   197, 195, 5,   4,   10,  151, 9,  8,
                                                      48, 278, 98,  327, 2,   127, 356, 70,  300, 107, 336, 234, 454};
// Where they lie in the mean head: x to the left of the head, y down, z away from the camera. As in
// cavsync/media/face.py.
constexpr std::array<MeshPoint, kRigidPoints.size()> kMeanHead = {{
    {-0.5000, -0.0706, 0.0978},
    {-0.1917, -0.0497, 0.0402},
    {0.1917, -0.0497, 0.0402},
    {0.5000, -0.0706, 0.0978},
    {0.0000, -0.1009, -0.1496},
    {0.0000, -0.0054, -0.1894},
    {0.0000, 0.0814, -0.2376},
    {0.0000, 0.1628, -0.2912},
    {0.0000, 0.2494, -0.3459},
    {0.0000, 0.3506, -0.3627},
    {0.0000, -0.6375, -0.1511},
    {0.0000, -0.4612, -0.1745},
    {0.0000, -0.2852, -0.1861},
    {0.0000, -0.1884, -0.1621},
    {-0.2128, 0.3823, -0.1591},
    {0.2128, 0.3823, -0.1591},
    {-0.1925, 0.4500, -0.0642},
    {0.1925, 0.4500, -0.0642},
    {0.0000, 0.4804, -0.1511},
    {-0.7722, -0.0740, 0.6539},
    {0.7722, -0.0740, 0.6539},
    {-0.6315, -0.2398, 0.0907},
    {0.6315, -0.2398, 0.0907},
    {-0.1627, -0.3007, -0.1799},
    {0.1627, -0.3007, -0.1799},
    {-0.7627, 0.0795, 0.7212},
    {0.7627, 0.0795, 0.7212},
}};

}  // namespace

MeshPoints frontal(const MeshPoints& points) {
  MeshPoint centre{0, 0, 0};
  for (const std::size_t index : kRigidPoints) {
    centre.x += points[index].x;
    centre.y += points[index].y;
    centre.z += points[index].z;
  }
  constexpr auto count = static_cast<double>(kRigidPoints.size());
  centre = {centre.x / count, centre.y / count, centre.z / count};
  Matrix3 product{};
  double spread = 0;
  for (std::size_t place = 0; place < kRigidPoints.size(); ++place) {
    const MeshPoint& point = points[kRigidPoints[place]];
    const Row3 apart{point.x - centre.x, point.y - centre.y, point.z - centre.z};
    const Row3 mean{kMeanHead[place].x, kMeanHead[place].y, kMeanHead[place].z};
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t column = 0; column < 3; ++column) product[row][column] += apart[row] * mean[column];
      spread += apart[row] * apart[row];
    }
  }
  const auto [turn, trace] = nearest_rotation(product);
  const double scale = trace / std::max(spread, 1e-12);
  MeshPoints found;
  for (std::size_t index = 0; index < kNumPoints; ++index) {
    const double x = scale * (points[index].x - centre.x), y = scale * (points[index].y - centre.y),
                 z = scale * (points[index].z - centre.z);
    found[index] = {x * turn[0][0] + y * turn[1][0] + z * turn[2][0], x * turn[0][1] + y * turn[1][1] + z * turn[2][1],
                    x * turn[0][2] + y * turn[1][2] + z * turn[2][2]};
  }
  return found;
}

}  // namespace cavsync
