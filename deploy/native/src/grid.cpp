#include "grid.h"

#include "curve.h"
#include "error.h"
#include "manifest_specs.h"
#include "text.h"
#include "whole_numbers.h"

namespace cavsync {

Grid::Grid(const SyncSpec& sync) : SyncSpec(sync) {
  if (const std::string fault = fault_of_grid(sync); !fault.empty()) {
    throw config_error(
        format("the options and the bundle give a grid of %g frames per second, hops of %g ms, a range of "
               "±%g ms and windows of %g s, which %s: give other numbers",
               frame_rate_hz, hop_ms, max_offset_ms, window_seconds, fault.c_str()));
  }
  lags_ms = lag_grid_ms(max_offset_ms, hop_ms);
  hop_frames = static_cast<int>(rounded(hop_ms / kHopUnitMs));
  reach = static_cast<std::int64_t>(lags_ms.size() / 2);
}

}  // namespace cavsync
