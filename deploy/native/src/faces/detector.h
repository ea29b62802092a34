// Face detection: MediaPipe's single-shot detectors (BlazeFace, arXiv 1907.05047), their anchors and their boxes.
#pragma once

#include <array>
#include <vector>

#include "engine.h"
#include "faces/points.h"

namespace cavsync {

// Numbers of a detector for each anchor: a box, six keypoints, and the logit of the score.
constexpr std::int64_t kDetectorValues = 17;

// Square feature maps of a detector that sees `input_size` pixels.
struct AnchorGrid {
  struct Map {
    int cells;
    int per_cell;
  };
  int input_size;
  std::vector<Map> maps;

  // In shares of the input, in the order of the graph's outputs.
  std::vector<Point> centres() const;
};

// Sees faces from about 15 % of the frame's height on.
AnchorGrid short_range();
// Sees faces from about 5 % of the frame's height on, and costs about four times as much.
AnchorGrid full_range();

// A face in pixels of the frame; `score` in 0..1.
struct Detection {
  Box box;
  Point right_eye, left_eye;
  double score;
};

double sigmoid(double logit);

class FaceDetector {
 public:
  // `graph` takes uint8 RGB (count, S, S, 3) and gives `faces` (count, anchors, kDetectorValues).
  FaceDetector(const Engine& graph, const AnchorGrid& grid);

  // Faces of a frame, the surest first.
  std::vector<Detection> detect(const RgbView& frame) const;

 private:
  const Engine& graph_;
  int size_;
  std::vector<Point> centres_;
};

// A frame scaled into a square of `size` pixels with black borders, the scale, and the left and top border.
struct Letterbox {
  RgbImage square;
  double scale;
  int left, top;
};
Letterbox letterbox(const RgbView& frame, int size);

}  // namespace cavsync
