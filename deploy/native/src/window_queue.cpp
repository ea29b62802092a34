#include "window_queue.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "search.h"

namespace cavsync {

WindowQueue::WindowQueue(RowStream& stream, const Grid& grid, std::function<Record(const Window&)> judge,
                         std::function<void(const Row&)> on_row)
    : stream_(stream),
      judge_(std::move(judge)),
      on_row_(std::move(on_row)),
      thin_{sparse_stride(grid), coarse_step(grid)} {}

void WindowQueue::judge_faces(FacePath& faces, const FaceJudge& judge) {
  faces_ = &faces;
  face_judge_ = &judge;
}

void WindowQueue::add_row(const RowPointer& row) {
  if (row->source) {
    rows_.push_back(row);
  } else {
    show(*row);
  }
}

void WindowQueue::add(std::vector<Window> windows) {
  std::move(windows.begin(), windows.end(), std::back_inserter(windows_));
}

std::optional<Record> WindowQueue::next_settled() {
  if (windows_.empty()) return std::nullopt;
  const Window& window = windows_.front();
  if (faces_ != nullptr && !faces_->is_complete(window.epoch, window.span.time_seconds)) return std::nullopt;
  show_before(window);
  Record decision = decide(window);
  windows_.pop_front();
  return decision;
}

void WindowQueue::finish() {
  for (const RowPointer& row : rows_) show(*row);
  rows_.clear();
}

Record WindowQueue::decide(const Window& window) {
  if (faces_ == nullptr) return whole(window, {});
  const FaceJudge& judge = *face_judge_;
  const std::vector<FaceDecision> faces =
      judge.judge(window, faces_->rows(window.epoch, window.start_seconds(), window.span.time_seconds));
  faces_->drop_before(window.epoch, window.start_seconds() - 1);
  const auto num_rows = static_cast<std::int64_t>(window.rows.size());
  if (num_rows >= kMinWindowRows * thin_.stride && judge.decides(faces)) {
    const Record thin = whole(window, thin_);
    if (judge.is_settled(thin, faces)) return judge.combined(thin, faces);
  }
  return judge.combined(whole(window, {}), faces);
}

Record WindowQueue::whole(const Window& window, const Density& density) {
  if (window.score) return *window.score;
  stream_.compare(window.rows, density);
  return judge_(window);
}

// Show the rows that no window from this one on holds.
void WindowQueue::show_before(const Window& window) {
  const auto first = std::make_tuple(window.epoch, window.start_seconds() - kTimeToleranceSeconds);
  while (!rows_.empty() && std::make_tuple(rows_.front()->epoch, rows_.front()->time_seconds) < first) {
    show(*rows_.front());
    rows_.pop_front();
  }
  if (!rows_.empty()) stream_.release(*rows_.front());
}

void WindowQueue::show(const Row& row) {
  if (on_row_ && row.is_compared()) on_row_(row);
}

}  // namespace cavsync
