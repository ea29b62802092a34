// The choice of frames and lags to compare: all of them, or, to save work, those that recent decisions suggest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "grid.h"
#include "record.h"

namespace cavsync {

// Rows that a window must have where only some frames are compared.
constexpr std::int64_t kMinWindowRows = 12;

// Which share of the frames, one in as many, is enough for a window.
std::int64_t sparse_stride(const Grid& grid);
// The distance of coarse lags in hops.
std::int64_t coarse_step(const Grid& grid);

// The plan of one group: every `stride`-th frame, offset by `phase`, at the lags that are true.
struct SearchStep {
  std::int64_t stride;
  std::int64_t phase;
  std::vector<bool> lags;

  // Whether the frame at `index` of the group is used.
  bool takes(std::size_t index) const { return (static_cast<std::int64_t>(index) + phase) % stride == 0; }
};

// An adaptive search begins coarse: some of the frames, lags far apart. Once a peak appears it tracks: the same frames and
// lags, and every lag around the peak. If tracking loses confidence it widens to all frames and lags, and if that finds
// nothing either (silence, a static picture) it returns to the coarse search. It depends on decisions alone, so results do
// not depend on how a stream was cut into pieces. A search that is not adaptive stays wide.
class Search {
 public:
  Search(const Grid& grid, bool is_adaptive, std::size_t group_instants);

  bool is_adaptive() const { return is_adaptive_; }
  // The plan of the next group of frames.
  SearchStep next_group();
  // Take a decision about the whole picture into account for the groups to come.
  void note(const Record& record);

 private:
  enum class Mode { kCoarse, kTrack, kWide };

  Mode next_mode(const Record& record);
  std::vector<bool> lags() const;

  Grid grid_;
  bool is_adaptive_;
  std::int64_t group_instants_;
  std::int64_t num_taken_ = 0;
  double centre_ms_ = 0;
  double mode_since_seconds_ = -std::numeric_limits<double>::infinity();
  Mode mode_;
};

}  // namespace cavsync
