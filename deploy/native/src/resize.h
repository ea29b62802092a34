// Frames made small for the models, to the same bytes as the Python package, which trains and scores with Pillow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cavsync {

constexpr int kChannels = 3;

// RGB (height, width, 3), rows `stride` bytes apart.
struct RgbView {
  const std::uint8_t* pixels;
  int width;
  int height;
  std::ptrdiff_t stride;

  const std::uint8_t* row(int y) const { return pixels + y * stride; }
  // Columns from `left` to before `right`, and rows from `top` to before `bottom`.
  RgbView part(int left, int top, int right, int bottom) const {
    return {row(top) + static_cast<std::ptrdiff_t>(left) * kChannels, right - left, bottom - top, stride};
  }
};

// RGB (height, width, 3), without space between rows.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  RgbImage(int columns, int rows)
      : width(columns),
        height(rows),
        pixels(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows) * kChannels) {}
  explicit RgbImage(const RgbView& view);

  std::ptrdiff_t stride() const { return static_cast<std::ptrdiff_t>(width) * kChannels; }
  std::uint8_t* row(int y) { return pixels.data() + y * stride(); }
  RgbView view() const { return {pixels.data(), width, height, stride()}; }
};

// Left, top, right and bottom; Pillow passes them in single precision.
struct Box {
  double left, top, right, bottom;
};

// Resize the short side to `size` (bicubic, antialiased) and cut the central square: -> (size, size, 3).
std::vector<std::uint8_t> resize_center_crop(const RgbView& rgb, int size);

// Resize the part `box` (bilinear, antialiased), first reduced by whole numbers to twice the size at least.
RgbImage resize_bilinear(const RgbView& rgb, const Box& box, int width, int height);

// Mean of blocks of `across` x `down` pixels; those at the right and bottom may be smaller.
RgbImage reduced(const RgbView& rgb, int across, int down);

// Evenly spread pixels of a frame: -> (size, size, 3).
std::vector<std::uint8_t> sampled(const RgbView& rgb, int size);

// So many evenly spread positions from 0 to `length` - 1, rounded down.
std::vector<int> spread_positions(int length, int count);

}  // namespace cavsync
