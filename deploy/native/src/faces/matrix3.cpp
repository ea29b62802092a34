// One-sided Jacobi: columns are turned in pairs until all are orthogonal; their lengths are the singular values.
#include "faces/matrix3.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cavsync {

namespace {

constexpr int kMaxSweeps = 60;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

Row3 column(const Matrix3& m, std::size_t index) { return {m[0][index], m[1][index], m[2][index]}; }

double dot(const Row3& one, const Row3& other) { return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]; }

Row3 cross(const Row3& one, const Row3& other) {
  return {one[1] * other[2] - one[2] * other[1], one[2] * other[0] - one[0] * other[2],
          one[0] * other[1] - one[1] * other[0]};
}

Row3 scaled(const Row3& row, double by) { return {row[0] * by, row[1] * by, row[2] * by}; }

void turn(Matrix3& m, std::size_t one, std::size_t other, double cosine, double sine) {
  for (Row3& row : m) {
    const double before = row[one];
    row[one] = cosine * before - sine * row[other];
    row[other] = sine * before + cosine * row[other];
  }
}

// Make two columns of `m` orthogonal, and turn `v` alike; whether they were not.
bool separate(Matrix3& m, Matrix3& v, std::size_t one, std::size_t other) {
  const Row3 a = column(m, one), b = column(m, other);
  const double shared = dot(a, b), lengths = std::sqrt(dot(a, a) * dot(b, b));
  if (!(std::abs(shared) > kEpsilon * lengths)) return false;
  const double slope = (dot(b, b) - dot(a, a)) / (2 * shared);
  const double tangent = (slope >= 0 ? 1 : -1) / (std::abs(slope) + std::sqrt(1 + slope * slope));
  const double cosine = 1 / std::sqrt(1 + tangent * tangent), sine = cosine * tangent;
  turn(m, one, other, cosine, sine);
  turn(v, one, other, cosine, sine);
  return true;
}

// A unit vector that is orthogonal to another.
Row3 orthogonal(const Row3& row) {
  Row3 axis{0, 0, 0};
  axis[static_cast<std::size_t>(
      std::min_element(row.begin(), row.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }) -
      row.begin())] = 1;
  const Row3 found = cross(row, axis);
  return scaled(found, 1 / std::sqrt(dot(found, found)));
}

}  // namespace

NearestRotation nearest_rotation(const Matrix3& given) {
  Matrix3 m = given, v{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  bool is_done = false;
  for (int sweep = 0; sweep < kMaxSweeps && !is_done; ++sweep) {
    is_done = true;
    for (const auto& [one, other] : {std::pair<std::size_t, std::size_t>{0, 1}, {0, 2}, {1, 2}}) {
      if (separate(m, v, one, other)) is_done = false;
    }
  }
  std::array<std::size_t, 3> order{0, 1, 2};
  const auto length = [&](std::size_t index) { return std::sqrt(dot(column(m, index), column(m, index))); };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return length(a) > length(b); });
  const double largest = length(order[0]), middle = length(order[1]), smallest = length(order[2]);
  if (!(largest > 0)) return {{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}, 0.0};
  // What a flat or thin m leaves open is completed to axes at right angles.
  const Row3 u0 = scaled(column(m, order[0]), 1 / largest);
  const Row3 u1 = middle > kEpsilon * largest ? scaled(column(m, order[1]), 1 / middle) : orthogonal(u0);
  const Row3 v0 = column(v, order[0]), v1 = column(v, order[1]);
  // The third axes of both are those of rotations, which is what the sign in D is for.
  const Row3 u2 = cross(u0, u1), v2 = cross(v0, v1);
  const double sign = dot(u2, column(m, order[2])) * dot(v2, column(v, order[2])) < 0 ? -1.0 : 1.0;
  NearestRotation found{{}, largest + middle + sign * smallest};
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t place = 0; place < 3; ++place) {
      found.rotation[row][place] = u0[row] * v0[place] + u1[row] * v1[place] + u2[row] * v2[place];
    }
  }
  return found;
}

}  // namespace cavsync
