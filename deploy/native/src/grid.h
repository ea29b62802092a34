// The grid on which a stream is scored: a bundle's, with a stream's options in place of some of its numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "manifest.h"

namespace cavsync {

struct Grid : SyncSpec {
  // The lags in ms, ascending.
  std::vector<double> lags_ms;
  // Log-mel frames between two instants of the audio.
  int hop_frames = 0;
  // Number of lags on either side of zero.
  std::int64_t reach = 0;

  // A config error for numbers that contradict each other.
  explicit Grid(const SyncSpec& sync);
};

}  // namespace cavsync
