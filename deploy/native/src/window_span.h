// A contiguous span of frames on one clock, and the windows in it.
#pragma once

#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "grid.h"
#include "row_stream.h"

namespace cavsync {

// A window ends at a frame's timestamp, which containers round to a millisecond.
constexpr double kTimeToleranceSeconds = 1e-3;

// The rows of a window that ends at `span.time_seconds`, in an epoch of the frames' clock.
struct Window {
  std::vector<RowPointer> rows;
  TimeSpan span;
  int epoch;
  // The decision about the whole picture; nothing where that waits for the faces.
  std::optional<Record> score;

  double start_seconds() const { return span.time_seconds - span.window_seconds; }
};

// Add rows in order; windows end `window_seconds` after the first row and then every `decision_step_seconds`.
class WindowSpan {
 public:
  WindowSpan(const Grid& grid, const RowPointer& first)
      : window_seconds_(grid.window_seconds),
        step_seconds_(grid.decision_step_seconds),
        start_seconds_(first->time_seconds),
        last_(first) {}

  // Whether the row belongs to this span.
  bool continues_with(const Row& row) const;
  // Add the next row; return the windows that end before it.
  std::vector<Window> add(const RowPointer& row);
  // Return the remaining windows; a span shorter than one window gives one. `last_epoch` and `last_seconds` are those of
  // the last frame of the stream, which may have produced no row and may belong to another span.
  std::vector<Window> finish(int last_epoch = -1, double last_seconds = -std::numeric_limits<double>::infinity());
  // The rows that no window so far has seen.
  std::vector<RowPointer> rest() const;

 private:
  double next_end_seconds() const { return start_seconds_ + window_seconds_ + num_windows_ * step_seconds_; }
  Window next_window(double end_seconds);

  double window_seconds_;
  double step_seconds_;
  double start_seconds_;
  RowPointer last_;
  std::deque<RowPointer> rows_;
  int num_windows_ = 0;
};

}  // namespace cavsync
