// Windows decided in order, once the rows of all paths are there; the whole picture compared as far as they need it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "faces/face_judge.h"
#include "row_stream.h"
#include "window_span.h"

namespace cavsync {

// Where a face decides, the whole picture can only contradict it, so that it is first compared thinly. Where that leaves
// a contradiction possible, and wherever no face decides, the window is compared in full, so that no window lacks what
// it rests on. Add rows and windows in order; take decisions from `next_settled`.
class WindowQueue {
 public:
  // `judge` decides about the whole picture of a window; `on_row` is called with each row that was compared, in order,
  // once no window will ask for more of it.
  WindowQueue(RowStream& stream, const Grid& grid, std::function<Record(const Window&)> judge,
              std::function<void(const Row&)> on_row);

  // Judge the faces of the stream as well, from the first window on.
  void judge_faces(FacePath& faces, const FaceJudge& judge);
  void add_row(const RowPointer& row);
  void add(std::vector<Window> windows);
  // The decision about the next window, if its face rows are all there.
  std::optional<Record> next_settled();
  // Show the remaining rows: no window will follow.
  void finish();

 private:
  Record decide(const Window& window);
  Record whole(const Window& window, const Density& density);
  void show_before(const Window& window);
  void show(const Row& row);

  RowStream& stream_;
  std::function<Record(const Window&)> judge_;
  // Both null where only the whole picture is judged.
  FacePath* faces_ = nullptr;
  const FaceJudge* face_judge_ = nullptr;
  std::function<void(const Row&)> on_row_;
  Density thin_;
  std::deque<Window> windows_;
  std::deque<RowPointer> rows_;
};

}  // namespace cavsync
