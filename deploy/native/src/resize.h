// Frames made small for the models, to the same bytes as the Python package, which trains and scores with Pillow.
#pragma once

#include <cstdint>
#include <vector>

namespace cavsync {

// RGB (height, width, 3), rows `stride` bytes apart.
struct RgbView {
  const std::uint8_t* pixels;
  int width;
  int height;
  std::ptrdiff_t stride;
};

// Resize the short side to `size` (bicubic, antialiased) and cut the central square: -> (size, size, 3).
std::vector<std::uint8_t> resize_center_crop(const RgbView& rgb, int size);

}  // namespace cavsync
