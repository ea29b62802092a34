// Read frames from standard input, each as width, height and size (32 bits, little-endian) and RGB; write them small.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "resize.h"

int main() {
  std::int32_t sizes[3];
  while (std::fread(sizes, sizeof sizes, 1, stdin) == 1) {
    const auto [width, height, size] = sizes;
    std::vector<std::uint8_t> rgb(std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    if (std::fread(rgb.data(), rgb.size(), 1, stdin) != 1) return 1;
    const auto small = cavsync::resize_center_crop({rgb.data(), width, height, std::ptrdiff_t{3} * width}, size);
    std::fwrite(small.data(), small.size(), 1, stdout);
  }
  return 0;
}
