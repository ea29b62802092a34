#include "window_span.h"

#include <algorithm>
#include <cmath>

#include "stream_limits.h"

namespace cavsync {

bool WindowSpan::continues_with(const Row& row) const {
  return row.epoch == last_->epoch && row.time_seconds - last_->time_seconds <= kHoleSeconds;
}

std::vector<Window> WindowSpan::add(const RowPointer& row) {
  std::vector<Window> windows;
  for (double end_seconds = next_end_seconds(); row->time_seconds >= end_seconds - kTimeToleranceSeconds;
       end_seconds = next_end_seconds()) {
    windows.push_back(next_window(end_seconds));
  }
  rows_.push_back(row);
  last_ = row;
  return windows;
}

std::vector<Window> WindowSpan::finish(int last_epoch, double last_seconds) {
  const double period_seconds = std::isfinite(last_->period_seconds) ? last_->period_seconds : 0.0;
  double end_seconds = last_->time_seconds + period_seconds;
  if (last_epoch == last_->epoch && last_seconds <= last_->time_seconds + kHoleSeconds) {
    end_seconds = std::max(end_seconds, last_seconds + period_seconds);
  }
  // Allow half a frame more: the period of the last frame is an estimate.
  const double until_seconds = end_seconds + std::max(period_seconds / 2, kTimeToleranceSeconds);
  std::vector<Window> windows;
  for (double next_seconds = next_end_seconds(); next_seconds <= until_seconds; next_seconds = next_end_seconds()) {
    windows.push_back(next_window(next_seconds));
  }
  if (num_windows_ == 0) {
    windows.push_back({{rows_.begin(), rows_.end()}, {end_seconds, end_seconds - start_seconds_}, last_->epoch, std::nullopt});
  }
  return windows;
}

std::vector<RowPointer> WindowSpan::rest() const {
  std::vector<RowPointer> found;
  if (num_windows_ == 0) return found;
  const double last_seconds = next_end_seconds() - step_seconds_ - kTimeToleranceSeconds;
  std::copy_if(rows_.begin(), rows_.end(), std::back_inserter(found),
               [&](const RowPointer& row) { return row->time_seconds >= last_seconds; });
  return found;
}

Window WindowSpan::next_window(double end_seconds) {
  const double begin_seconds = end_seconds - window_seconds_ - kTimeToleranceSeconds;
  while (!rows_.empty() && rows_.front()->time_seconds < begin_seconds) rows_.pop_front();
  ++num_windows_;
  Window window{{}, {end_seconds, window_seconds_}, last_->epoch, std::nullopt};
  for (const RowPointer& row : rows_) {
    if (row->time_seconds < end_seconds - kTimeToleranceSeconds) window.rows.push_back(row);
  }
  return window;
}

}  // namespace cavsync
