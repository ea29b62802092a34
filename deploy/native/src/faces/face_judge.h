// The decisions of the faces in a window, joined with that of the whole picture.
#pragma once

#include <memory>
#include <vector>

#include "faces/face_path.h"
#include "faces/paths.h"
#include "options.h"
#include "window_span.h"

namespace cavsync {

// A face in less of a window, or of a file, is not judged.
constexpr double kMinFaceShare = 0.4;
// The reason where only faces are judged and none is.
std::string no_face();

class FaceJudge {
 public:
  // The manifest must have a face path. `resolution_floor_ms` is the resolution of the lag grid, where that is coarser
  // than the calibration's.
  FaceJudge(const Manifest& manifest, const Options& options, double resolution_floor_ms)
      : manifest_(manifest), options_(options), resolution_floor_ms_(resolution_floor_ms) {}

  // The decision about each face of a window, whose face rows are `rows`.
  std::vector<FaceDecision> judge(const Window& window, const std::vector<std::shared_ptr<const FaceRow>>& rows) const;
  // Whether the surest face decides, and no other face contradicts it.
  bool decides(const std::vector<FaceDecision>& faces) const;
  // Whether the whole picture, compared in part, agrees with the face that decides, and one of them is sure. The face is
  // if it has kClearOdds times the odds that decide. A whole picture that seems weak is not enough: in full it may turn
  // out to contradict the face.
  bool is_settled(const Record& whole, const std::vector<FaceDecision>& faces) const;
  // The decision of both paths.
  Record combined(const Record& whole, const std::vector<FaceDecision>& faces) const;

 private:
  double tolerance_ms() const;

  const Manifest& manifest_;
  const Options& options_;
  double resolution_floor_ms_;
};

}  // namespace cavsync
