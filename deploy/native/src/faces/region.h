// A rotated square of a frame.
#pragma once

#include <cstdint>
#include <vector>

#include "faces/points.h"

namespace cavsync {

// Centre in pixels, length of a side in pixels, angle of its x axis in radians.
struct Region {
  Point centre;
  double side;
  double angle;

  // A point in shares of the square -> pixels of the frame.
  Point to_frame(const Point& share) const;
  // The square as (size, size, 3) pixels (bilinear), to the bytes of Python's `Region.crop`; black outside the frame.
  RgbImage crop(const RgbView& frame, int size) const;
};

}  // namespace cavsync
