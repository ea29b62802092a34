// Read frames from standard input and write what the face path sees of them, to compare it with Python: each as width and
// height (32 bits, little-endian) and RGB, then three 64-bit numbers of a square's centre and side, its angle, and size;
// with a size of 0 as a detector sees it, in 128 x 128 pixels.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "faces/detector.h"
#include "faces/region.h"

int main() {
  std::int32_t sides[2];
  while (std::fread(sides, sizeof sides, 1, stdin) == 1) {
    cavsync::RgbImage frame(sides[0], sides[1]);
    double square[5];
    if (std::fread(frame.pixels.data(), frame.pixels.size(), 1, stdin) != 1) return 1;
    if (std::fread(square, sizeof square, 1, stdin) != 1) return 1;
    const auto [x, y, side, angle, size] = square;
    const cavsync::RgbImage seen = size == 0
                                       ? cavsync::letterbox(frame.view(), 128).square
                                       : cavsync::Region{{x, y}, side, angle}.crop(frame.view(), static_cast<int>(size));
    std::fwrite(seen.pixels.data(), seen.pixels.size(), 1, stdout);
  }
  return 0;
}
