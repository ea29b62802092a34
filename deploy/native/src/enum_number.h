// The number behind an enumeration of the C interface: a C program can pass any.
#pragma once

#include <cstring>

namespace cavsync {

template <class Enumeration>
int number_of(const Enumeration& value) {
  static_assert(sizeof value == sizeof(int));
  int number = 0;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

}  // namespace cavsync
