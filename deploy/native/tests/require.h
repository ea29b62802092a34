// A check of a test: what does not hold ends the program with a line about it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cavsync.h"

inline void fail(const char* expression, int line) {
  std::fprintf(stderr, "line %d: %s does not hold; last error: %s\n", line, expression, cavsync_last_error());
  std::exit(1);
}
#define REQUIRE(expression) \
  if (!(expression)) fail(#expression, __LINE__)

inline bool says(const char* words) { return std::strstr(cavsync_last_error(), words) != nullptr; }
