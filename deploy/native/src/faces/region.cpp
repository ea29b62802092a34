// Pillow's affine transform (libImaging/Geometry.c) in its arithmetic, so that the models see the same bytes.
#include "faces/region.h"

#include <algorithm>

namespace cavsync {

namespace {

// x and y of a place in the source, by the coefficients of a transform.
struct Affine {
  double xx, xy, x0, yx, yy, y0;
};

// The part of a frame's rows or columns that a square touches, and a sample more.
struct Extent {
  int first, end;
};

// `first` is the square's first corner, `one` and `other` the steps from it along its two sides. The extent begins at a
// multiple of `factor`, so that the part is reduced as the whole frame would be.
Extent extent_of(double first, double one, double other, int factor, int length) {
  const auto [lowest, highest] = std::minmax({first, first + one, first + other, first + one + other});
  const double low = (std::floor(lowest / factor) - 1) * factor;
  const double high = (std::ceil(highest / factor) + 1) * factor;
  return {static_cast<int>(std::clamp(low, 0.0, static_cast<double>(length))),
          static_cast<int>(std::clamp(high, 0.0, static_cast<double>(length)))};
}

// Blocks of more than 2^24 pixels have no mean in Pillow's arithmetic; no square that touches a frame is that large.
constexpr double kMaxFactor = 4000;

double between(double low, double high, double share) { return low + (high - low) * share; }

void sample(const RgbView& source, double x, double y, std::uint8_t* target) {
  if (!(x >= 0.0 && x < source.width && y >= 0.0 && y < source.height)) return;
  x -= 0.5;
  y -= 0.5;
  const int column = static_cast<int>(std::floor(x)), row = static_cast<int>(std::floor(y));
  const double share_x = x - column, share_y = y - row;
  const std::ptrdiff_t left = std::ptrdiff_t{kChannels} * std::max(column, 0);
  const std::ptrdiff_t right = std::ptrdiff_t{kChannels} * std::min(column + 1, source.width - 1);
  const std::uint8_t* upper = source.row(std::max(row, 0));
  const std::uint8_t* lower = source.row(std::min(row + 1, source.height - 1));
  for (int channel = 0; channel < kChannels; ++channel) {
    const double above = between(upper[left + channel], upper[right + channel], share_x);
    const double below = between(lower[left + channel], lower[right + channel], share_x);
    target[channel] = static_cast<std::uint8_t>(between(above, below, share_y));
  }
}

void transform(const RgbView& source, const Affine& affine, RgbImage& target) {
  for (int y = 0; y < target.height; ++y) {
    std::uint8_t* pixel = target.row(y);
    for (int x = 0; x < target.width; ++x, pixel += kChannels) {
      const double column = x + 0.5, row = y + 0.5;
      sample(source, affine.xx * column + affine.xy * row + affine.x0,
             affine.yx * column + affine.yy * row + affine.y0, pixel);
    }
  }
}

}  // namespace

Point Region::to_frame(const Point& share) const {
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double x = (share.x - 0.5) * side, y = (share.y - 0.5) * side;
  return {centre.x + (x * cosine - y * sine), centre.y + (x * sine + y * cosine)};
}

RgbImage Region::crop(const RgbView& frame, int size) const {
  RgbImage square(size, size);
  if (!std::isfinite(centre.x + centre.y + side + angle)) return square;
  const double step = side / size;
  // Large regions are sampled from a smaller frame, so that nothing between the samples is lost.
  const int factor = step > 2 ? static_cast<int>(std::min(step, kMaxFactor)) : 1;
  const double along_x = side * std::cos(angle), along_y = side * std::sin(angle);
  const double first_x = centre.x - (along_x - along_y) / 2, first_y = centre.y - (along_y + along_x) / 2;
  const Extent columns = extent_of(first_x, along_x, -along_y, factor, frame.width);
  const Extent rows = extent_of(first_y, along_y, along_x, factor, frame.height);
  if (columns.first >= columns.end || rows.first >= rows.end) return square;
  const RgbView part = frame.part(columns.first, rows.first, columns.end, rows.end);
  const double cosine = along_x / size / factor, sine = along_y / size / factor;
  const Affine affine{cosine, -sine,  (first_x - columns.first) / factor,
                      sine,   cosine, (first_y - rows.first) / factor};
  if (factor > 1) {
    transform(reduced(part, factor, factor).view(), affine, square);
  } else {
    transform(part, affine, square);
  }
  return square;
}

}  // namespace cavsync
