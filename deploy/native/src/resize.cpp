// Pillow's fixed-point arithmetic (libImaging/Resample.c, Reduce.c): libswscale's bicubic filter has other weights,
// works in YUV, and cannot cut a square between pixels, so that similarities would differ by more than rounding.
#include "resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace cavsync {

namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr double kSupport = 2.0;
// Frames are first reduced by whole numbers to this many times the size at least.
constexpr double kReducingGap = 2.0;
constexpr int kChannels = 3;

struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  Image(int columns, int rows)
      : width(columns),
        height(rows),
        pixels(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows) * kChannels) {}
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::ptrdiff_t>(y) * width * kChannels; }
  const std::uint8_t* row(int y) const { return pixels.data() + static_cast<std::ptrdiff_t>(y) * width * kChannels; }
  RgbView view() const { return {pixels.data(), width, height, static_cast<std::ptrdiff_t>(width) * kChannels}; }
};

// Left, top, right and bottom; Pillow passes them in single precision.
struct Box {
  double left, top, right, bottom;
};

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// The weights of each output position: `first` source position, and fixed-point weights from there on.
struct Taps {
  int first = 0;
  std::vector<int> weights;
};

std::vector<Taps> taps_for(int in_size, float low, float high, int out_size) {
  const double scale = static_cast<double>(high - low) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  std::vector<Taps> all(static_cast<std::size_t>(out_size));
  for (int place = 0; place < out_size; ++place) {
    const double center = static_cast<double>(low) + (place + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int last = std::min(in_size, static_cast<int>(center + support + 0.5));
    std::vector<double> weights;
    double total = 0;
    for (int x = first; x < last; ++x) {
      weights.push_back(bicubic((x - center + 0.5) * (1.0 / filter_scale)));
      total += weights.back();
    }
    Taps& taps = all[static_cast<std::size_t>(place)];
    taps.first = first;
    for (double weight : weights) {
      if (total != 0.0) weight /= total;
      taps.weights.push_back(static_cast<int>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kPrecisionBits)));
    }
  }
  return all;
}

std::uint8_t clipped(int sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

// Sum over the taps of pixels that lie `step` bytes apart.
void filter(const std::uint8_t* source, std::ptrdiff_t step, const Taps& taps, std::uint8_t* target) {
  int sums[kChannels];
  std::fill(sums, sums + kChannels, 1 << (kPrecisionBits - 1));
  for (const int weight : taps.weights) {
    for (int channel = 0; channel < kChannels; ++channel) sums[channel] += source[channel] * weight;
    source += step;
  }
  for (int channel = 0; channel < kChannels; ++channel) target[channel] = clipped(sums[channel]);
}

// Resize the part `box` to (size, size): columns first, then rows, as Pillow does but for some tall frames.
std::vector<std::uint8_t> resized(const RgbView& image, const Box& box, int size) {
  const auto columns = taps_for(image.width, static_cast<float>(box.left), static_cast<float>(box.right), size);
  const auto rows = taps_for(image.height, static_cast<float>(box.top), static_cast<float>(box.bottom), size);
  const int first_row = rows.front().first;
  const int end_row = rows.back().first + static_cast<int>(rows.back().weights.size());
  Image wide(size, end_row - first_row);
  for (int y = first_row; y < end_row; ++y) {
    const std::uint8_t* source = image.pixels + y * image.stride;
    std::uint8_t* target = wide.row(y - first_row);
    for (const Taps& taps : columns) {
      filter(source + static_cast<std::ptrdiff_t>(taps.first) * kChannels, kChannels, taps, target);
      target += kChannels;
    }
  }
  Image square(size, size);
  for (int y = 0; y < size; ++y) {
    const Taps& taps = rows[static_cast<std::size_t>(y)];
    const std::uint8_t* source = wide.row(taps.first - first_row);
    for (int x = 0; x < size; ++x) {
      filter(source + x * kChannels, static_cast<std::ptrdiff_t>(size) * kChannels, taps,
             square.row(y) + x * kChannels);
    }
  }
  return std::move(square.pixels);
}

// The sums of each column and channel over some rows, in a loop that compilers turn into vector instructions.
void sum_rows(const RgbView& image, int first_row, int end_row, int left, std::vector<std::uint32_t>& sums) {
  std::fill(sums.begin(), sums.end(), 0);
  for (int row = first_row; row < end_row; ++row) {
    const std::uint8_t* source = image.pixels + row * image.stride + static_cast<std::ptrdiff_t>(left) * kChannels;
    for (std::size_t place = 0; place < sums.size(); ++place) sums[place] += source[place];
  }
}

// Mean of blocks of `factor` x `factor` pixels of a part in whole pixels; those at the right and bottom may be smaller.
Image reduced(const RgbView& image, int left, int top, int right, int bottom, int factor) {
  Image small((right - left + factor - 1) / factor, (bottom - top + factor - 1) / factor);
  std::vector<std::uint32_t> column_sums(static_cast<std::size_t>(right - left) * kChannels);
  for (int y = 0; y < small.height; ++y) {
    const int first_row = top + y * factor, end_row = std::min(first_row + factor, bottom);
    sum_rows(image, first_row, end_row, left, column_sums);
    for (int x = 0; x < small.width; ++x) {
      const int first_column = x * factor, end_column = std::min(first_column + factor, right - left);
      const auto count = static_cast<std::uint32_t>((end_row - first_row) * (end_column - first_column));
      std::uint32_t sums[kChannels] = {count / 2, count / 2, count / 2};
      const std::uint32_t* source = column_sums.data() + static_cast<std::ptrdiff_t>(first_column) * kChannels;
      for (int column = first_column; column < end_column; ++column, source += kChannels) {
        for (int channel = 0; channel < kChannels; ++channel) sums[channel] += source[channel];
      }
      // The reciprocal in single precision, as Pillow has it.
      const auto multiplier = static_cast<std::uint32_t>(4294967296.0F / static_cast<float>(count << 8));
      std::uint8_t* target = small.row(y) + x * kChannels;
      for (int channel = 0; channel < kChannels; ++channel) {
        target[channel] = static_cast<std::uint8_t>((sums[channel] * multiplier) >> 24);
      }
    }
  }
  return small;
}

// Reduce by a whole number where that leaves enough, then resize.
std::vector<std::uint8_t> resized_in_two_steps(const RgbView& image, const Box& box, int size) {
  const int factor = static_cast<int>((box.right - box.left) / size / kReducingGap);
  if (factor <= 1) return resized(image, box, size);
  const double reach = (kSupport - 0.5) * (box.right - box.left) / size;
  const int left = std::max(0, static_cast<int>(box.left - reach)),
            top = std::max(0, static_cast<int>(box.top - reach));
  const int right = std::min(image.width, static_cast<int>(std::ceil(box.right + reach)));
  const int bottom = std::min(image.height, static_cast<int>(std::ceil(box.bottom + reach)));
  const Image small = reduced(image, left, top, right, bottom, factor);
  return resized(
      small.view(),
      {(box.left - left) / factor, (box.top - top) / factor, (box.right - left) / factor, (box.bottom - top) / factor},
      size);
}

std::vector<std::uint8_t> copied(const RgbView& image) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* row = image.pixels + y * image.stride;
    pixels.insert(pixels.end(), row, row + static_cast<std::ptrdiff_t>(image.width) * kChannels);
  }
  return pixels;
}

}  // namespace

std::vector<std::uint8_t> resize_center_crop(const RgbView& rgb, int size) {
  if (rgb.width == size && rgb.height == size) return copied(rgb);
  const int side = std::min(rgb.width, rgb.height);
  double left = (rgb.width - side) / 2.0, top = (rgb.height - side) / 2.0;
  const double scale = static_cast<double>(side) / size;
  // Large frames are cut first to what the filter reaches; the size of the part counts in Pillow's rounding.
  const double reach = scale >= 2 * kReducingGap ? 2 * scale + 1 : std::max(rgb.height, rgb.width);
  const int first_column = std::max(0, static_cast<int>(left - reach)),
            first_row = std::max(0, static_cast<int>(top - reach));
  const int last_column = static_cast<int>(std::min<double>(rgb.width, std::ceil(rgb.width - left + reach)));
  const int last_row = static_cast<int>(std::min<double>(rgb.height, std::ceil(rgb.height - top + reach)));
  const RgbView part = {rgb.pixels + first_row * rgb.stride + static_cast<std::ptrdiff_t>(first_column) * kChannels,
                        last_column - first_column, last_row - first_row, rgb.stride};
  left -= first_column;
  top -= first_row;
  return resized_in_two_steps(part, {left, top, left + side, top + side}, size);
}

}  // namespace cavsync
