// Pillow's fixed-point arithmetic (libImaging/Resample.c, Reduce.c): libswscale's bicubic filter has other weights,
// works in YUV, and cannot cut a square between pixels, so that similarities would differ by more than rounding.
#include "resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace cavsync {

namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;
// Frames are first reduced by whole numbers to this many times the size at least.
constexpr double kReducingGap = 2.0;

// A weight by the distance from the middle, 0 from `support` on.
struct Filter {
  double support;
  double (*weight)(double);
};

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

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

constexpr Filter kBilinear = {1.0, bilinear};
constexpr Filter kBicubic = {2.0, bicubic};

std::vector<Taps> taps_for(int in_size, float low, float high, int out_size, const Filter& filter) {
  const double scale = static_cast<double>(high - low) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  std::vector<Taps> all(static_cast<std::size_t>(out_size));
  for (int place = 0; place < out_size; ++place) {
    const double center = static_cast<double>(low) + (place + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int last = std::min(in_size, static_cast<int>(center + support + 0.5));
    std::vector<double> weights;
    double total = 0;
    for (int x = first; x < last; ++x) {
      weights.push_back(filter.weight((x - center + 0.5) * (1.0 / filter_scale)));
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
void sum_of_taps(const std::uint8_t* source, std::ptrdiff_t step, const Taps& taps, std::uint8_t* target) {
  int sums[kChannels];
  std::fill(sums, sums + kChannels, 1 << (kPrecisionBits - 1));
  for (const int weight : taps.weights) {
    for (int channel = 0; channel < kChannels; ++channel) sums[channel] += source[channel] * weight;
    source += step;
  }
  for (int channel = 0; channel < kChannels; ++channel) target[channel] = clipped(sums[channel]);
}

// Resize the columns of rows from `first_row` to before `end_row`.
RgbImage with_columns(const RgbView& image, int first_row, int end_row, const std::vector<Taps>& columns) {
  RgbImage made(static_cast<int>(columns.size()), end_row - first_row);
  for (int y = first_row; y < end_row; ++y) {
    std::uint8_t* target = made.row(y - first_row);
    for (const Taps& taps : columns) {
      sum_of_taps(image.row(y) + static_cast<std::ptrdiff_t>(taps.first) * kChannels, kChannels, taps, target);
      target += kChannels;
    }
  }
  return made;
}

// Resize the rows; the first row of the image is number `first_row` of the taps.
RgbImage with_rows(const RgbView& image, int first_row, const std::vector<Taps>& rows) {
  RgbImage made(image.width, static_cast<int>(rows.size()));
  for (int y = 0; y < made.height; ++y) {
    const Taps& taps = rows[static_cast<std::size_t>(y)];
    const std::uint8_t* source = image.row(taps.first - first_row);
    for (int x = 0; x < made.width; ++x) {
      sum_of_taps(source + static_cast<std::ptrdiff_t>(x) * kChannels, image.stride, taps,
                  made.row(y) + static_cast<std::ptrdiff_t>(x) * kChannels);
    }
  }
  return made;
}

// Resize the part `box`. Where many more rows than columns are to go, Pillow 13 begins with the rows; the order shows
// in the rounding.
RgbImage resized(const RgbView& image, const Box& box, int width, int height, const Filter& filter) {
  const auto columns =
      taps_for(image.width, static_cast<float>(box.left), static_cast<float>(box.right), width, filter);
  const auto rows =
      taps_for(image.height, static_cast<float>(box.top), static_cast<float>(box.bottom), height, filter);
  if (image.height - height > 2 * std::max(0, image.width - width)) {
    const RgbImage low = with_rows(image, 0, rows);
    return with_columns(low.view(), 0, low.height, columns);
  }
  const int first_row = rows.front().first;
  const int end_row = rows.back().first + static_cast<int>(rows.back().weights.size());
  return with_rows(with_columns(image, first_row, end_row, columns).view(), first_row, rows);
}

// The sums of each column and channel over some rows, in a loop that compilers turn into vector instructions.
void sum_rows(const RgbView& image, int first_row, int end_row, std::vector<std::uint32_t>& sums) {
  std::fill(sums.begin(), sums.end(), 0);
  for (int y = first_row; y < end_row; ++y) {
    const std::uint8_t* source = image.row(y);
    for (std::size_t place = 0; place < sums.size(); ++place) sums[place] += source[place];
  }
}

int reduction(double from, double low, int to) {
  return std::max(1, static_cast<int>((from - low) / to / kReducingGap));
}

// Reduce by whole numbers where that leaves enough, then resize.
RgbImage resized_in_two_steps(const RgbView& image, const Box& box, int width, int height, const Filter& filter) {
  const int across = reduction(box.right, box.left, width), down = reduction(box.bottom, box.top, height);
  if (across <= 1 && down <= 1) return resized(image, box, width, height, filter);
  const double reach_x = (filter.support - 0.5) * ((box.right - box.left) / width);
  const double reach_y = (filter.support - 0.5) * ((box.bottom - box.top) / height);
  const int left = std::max(0, static_cast<int>(box.left - reach_x)),
            top = std::max(0, static_cast<int>(box.top - reach_y));
  const int right = std::min(image.width, static_cast<int>(std::ceil(box.right + reach_x)));
  const int bottom = std::min(image.height, static_cast<int>(std::ceil(box.bottom + reach_y)));
  const RgbImage small = reduced(image.part(left, top, right, bottom), across, down);
  return resized(small.view(),
                 {(box.left - left) / across, (box.top - top) / down, (box.right - left) / across,
                  (box.bottom - top) / down},
                 width, height, filter);
}

}  // namespace

RgbImage::RgbImage(const RgbView& view) : width(view.width), height(view.height) {
  pixels.reserve(static_cast<std::size_t>(view.height) * static_cast<std::size_t>(stride()));
  for (int y = 0; y < view.height; ++y) pixels.insert(pixels.end(), view.row(y), view.row(y) + stride());
}

RgbImage reduced(const RgbView& rgb, int across, int down) {
  RgbImage small((rgb.width + across - 1) / across, (rgb.height + down - 1) / down);
  std::vector<std::uint32_t> column_sums(static_cast<std::size_t>(rgb.width) * kChannels);
  for (int y = 0; y < small.height; ++y) {
    const int first_row = y * down, end_row = std::min(first_row + down, rgb.height);
    sum_rows(rgb, first_row, end_row, column_sums);
    for (int x = 0; x < small.width; ++x) {
      const int first_column = x * across, end_column = std::min(first_column + across, rgb.width);
      const auto count = static_cast<std::uint32_t>((end_row - first_row) * (end_column - first_column));
      std::uint32_t sums[kChannels] = {count / 2, count / 2, count / 2};
      const std::uint32_t* source = column_sums.data() + static_cast<std::ptrdiff_t>(first_column) * kChannels;
      for (int column = first_column; column < end_column; ++column, source += kChannels) {
        for (int channel = 0; channel < kChannels; ++channel) sums[channel] += source[channel];
      }
      // The reciprocal in single precision, as Pillow has it.
      const auto multiplier = static_cast<std::uint32_t>(4294967296.0F / static_cast<float>(count << 8));
      std::uint8_t* target = small.row(y) + static_cast<std::ptrdiff_t>(x) * kChannels;
      for (int channel = 0; channel < kChannels; ++channel) {
        target[channel] = static_cast<std::uint8_t>((sums[channel] * multiplier) >> 24);
      }
    }
  }
  return small;
}

std::vector<std::uint8_t> resize_center_crop(const RgbView& rgb, int size) {
  if (rgb.width == size && rgb.height == size) return std::move(RgbImage(rgb).pixels);
  const int side = std::min(rgb.width, rgb.height);
  double left = (rgb.width - side) / 2.0, top = (rgb.height - side) / 2.0;
  const double scale = static_cast<double>(side) / size;
  // Large frames are cut first to what the filter reaches; the size of the part counts in Pillow's rounding.
  const double reach = scale >= 2 * kReducingGap ? 2 * scale + 1 : std::max(rgb.height, rgb.width);
  const int first_column = std::max(0, static_cast<int>(left - reach)),
            first_row = std::max(0, static_cast<int>(top - reach));
  const int last_column = static_cast<int>(std::min<double>(rgb.width, std::ceil(rgb.width - left + reach)));
  const int last_row = static_cast<int>(std::min<double>(rgb.height, std::ceil(rgb.height - top + reach)));
  left -= first_column;
  top -= first_row;
  const RgbView part = rgb.part(first_column, first_row, last_column, last_row);
  return std::move(resized_in_two_steps(part, {left, top, left + side, top + side}, size, size, kBicubic).pixels);
}

RgbImage resize_bilinear(const RgbView& rgb, const Box& box, int width, int height) {
  return resized_in_two_steps(rgb, box, width, height, kBilinear);
}

std::vector<int> spread_positions(int length, int count) {
  const double step = count > 1 ? static_cast<double>(length - 1) / (count - 1) : 0.0;
  std::vector<int> positions;
  for (int place = 0; place < count; ++place) positions.push_back(static_cast<int>(place * step));
  if (count > 1) positions.back() = length - 1;
  return positions;
}

std::vector<std::uint8_t> sampled(const RgbView& rgb, int size) {
  const std::vector<int> columns = spread_positions(rgb.width, size);
  std::vector<std::uint8_t> pixels;
  for (const int y : spread_positions(rgb.height, size)) {
    for (const int x : columns) {
      const std::uint8_t* pixel = rgb.row(y) + static_cast<std::ptrdiff_t>(x) * kChannels;
      pixels.insert(pixels.end(), pixel, pixel + kChannels);
    }
  }
  return pixels;
}

}  // namespace cavsync
