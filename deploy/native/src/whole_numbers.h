// Division and rounding of whole numbers with the rules of Python, on which positions in a stream depend.
#pragma once

#include <cmath>
#include <cstdint>

namespace cavsync {

inline std::int64_t floor_div(std::int64_t value, std::int64_t by) {
  const std::int64_t quotient = value / by;
  return quotient - (value % by != 0 && (value < 0) != (by < 0));
}

inline std::int64_t ceil_div(std::int64_t value, std::int64_t by) { return -floor_div(-value, by); }

// The nearest whole number; of two, the even one.
inline std::int64_t rounded(double value) { return std::llrint(value); }

}  // namespace cavsync
