// 3 x 3 matrices, and the rotation that is nearest to one.
#pragma once

#include <array>

namespace cavsync {

using Row3 = std::array<double, 3>;
using Matrix3 = std::array<Row3, 3>;

// The rotation R with the largest trace of R^T m, and that trace: of the singular value decomposition m = U S V^T they
// are U D V^T and the trace of S D, where D is the identity, or ends in -1 where U V^T is a reflection.
struct NearestRotation {
  Matrix3 rotation;
  double trace;
};
NearestRotation nearest_rotation(const Matrix3& m);

}  // namespace cavsync
