// Medians, percentiles and straight lines between points, as NumPy computes them.
#pragma once

#include <vector>

namespace cavsync {

double mean(const std::vector<double>& values);
// The middle value, or the mean of the two in the middle; NaN of nothing.
double median(std::vector<double> values);
// Linear between the neighbouring values.
double percentile(std::vector<double> values, double percent);
// The value at `x` of straight lines between the points (xs ascending); constant beyond the ends.
double interpolate(double x, const std::vector<double>& xs, const std::vector<double>& ys);
// The sizes of `count` items in so many consecutive parts, the first ones larger by one where it does not divide.
std::vector<std::size_t> part_sizes(std::size_t count, std::size_t parts);

}  // namespace cavsync
