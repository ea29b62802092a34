#include "search.h"

#include <algorithm>
#include <cmath>

#include "whole_numbers.h"

namespace cavsync {

namespace {

constexpr double kCoarseMs = 80.0;
// Largest expected change of the offset between decisions; the coarse lags detect larger ones.
constexpr double kTrackMs = 30.0;
// Frames this far apart are enough samples of every lag in a window of two seconds.
constexpr double kSparseSeconds = 0.16;

}  // namespace

std::int64_t sparse_stride(const Grid& grid) {
  const double most = grid.frame_rate_hz * grid.window_seconds / static_cast<double>(kMinWindowRows);
  const double found = std::floor(std::min(kSparseSeconds * grid.frame_rate_hz + 1e-6, most));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(found));
}

std::int64_t coarse_step(const Grid& grid) { return std::max<std::int64_t>(1, rounded(kCoarseMs / grid.hop_ms)); }

Search::Search(const Grid& grid, bool is_adaptive, std::size_t group_instants)
    : grid_(grid),
      is_adaptive_(is_adaptive),
      group_instants_(static_cast<std::int64_t>(group_instants)),
      mode_(is_adaptive ? Mode::kCoarse : Mode::kWide) {}

SearchStep Search::next_group() {
  const std::int64_t stride = mode_ == Mode::kWide ? 1 : sparse_stride(grid_);
  SearchStep plan{stride, num_taken_ % stride, lags()};
  num_taken_ += group_instants_;
  return plan;
}

void Search::note(const Record& record) {
  if (!is_adaptive_) return;
  if (std::isinf(mode_since_seconds_) || record.time_seconds < mode_since_seconds_) {
    mode_since_seconds_ = record.time_seconds;
  }
  const Mode mode = next_mode(record);
  if (mode == mode_) return;
  mode_ = mode;
  mode_since_seconds_ = record.time_seconds;
}

Search::Mode Search::next_mode(const Record& record) {
  if (record.audio_offset_ms && record.peak_lag_ms && (mode_ == Mode::kCoarse || record.is_measured)) {
    centre_ms_ = *record.peak_lag_ms;
    return Mode::kTrack;
  }
  // A window that still holds rows of the previous mode says nothing about the current one.
  if (record.time_seconds - mode_since_seconds_ < grid_.window_seconds) return mode_;
  return mode_ == Mode::kTrack ? Mode::kWide : Mode::kCoarse;
}

std::vector<bool> Search::lags() const {
  const std::size_t count = grid_.lags_ms.size();
  if (mode_ == Mode::kWide) return std::vector<bool>(count, true);
  std::vector<bool> found(count, false);
  const std::int64_t step = coarse_step(grid_);
  for (auto lag = static_cast<std::size_t>(grid_.reach % step); lag < count; lag += static_cast<std::size_t>(step)) {
    found[lag] = true;
  }
  // The ends are always included: a peak there may lie beyond the search range.
  for (const std::size_t lag : {std::size_t{0}, std::size_t{1}, count - 2, count - 1}) found[lag] = true;
  if (mode_ != Mode::kTrack) return found;
  const double width_ms = std::max(kTrackMs, 2 * grid_.hop_ms);
  for (std::size_t lag = 0; lag < count; ++lag) {
    if (std::abs(grid_.lags_ms[lag] - centre_ms_) <= width_ms) found[lag] = true;
  }
  return found;
}

}  // namespace cavsync
