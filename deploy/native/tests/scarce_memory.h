// Memory that is scarce for a while.
#pragma once

#include <cstddef>

// From now on `new` fails for more bytes than this. At first it is the environment variable CAVSYNC_LARGEST_NEW, or
// unlimited without one.
void set_largest_new(std::size_t num_bytes);
