#include "faces/detector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "error.h"
#include "whole_numbers.h"

namespace cavsync {

namespace {

constexpr double kMinScore = 0.5;
// Boxes that overlap by more are one face.
constexpr double kMaxOverlap = 0.3;
constexpr double kMaxLogit = 80.0;
// Rows of a large frame that a row of a detector's input is made of, at least; the others are left out.
constexpr int kSamplesPerPixel = 3;

// Upper left and lower right corner and the eyes, in pixels of the frame.
struct Candidate {
  std::array<Point, 4> points;
  double score;

  Box box() const { return {points[0].x, points[0].y, points[1].x, points[1].y}; }
};

// Weighted non-maximum suppression: each group of overlapping boxes becomes its mean by score.
std::vector<Detection> merged(std::vector<Candidate> left) {
  std::stable_sort(left.begin(), left.end(),
                   [](const Candidate& one, const Candidate& other) { return one.score > other.score; });
  std::vector<Detection> faces;
  while (!left.empty()) {
    const Box surest = left.front().box();
    std::vector<Candidate> group, rest;
    for (const Candidate& candidate : left) {
      (overlap(surest, candidate.box()) > kMaxOverlap ? group : rest).push_back(candidate);
    }
    if (group.empty()) {
      // A box without an area does not overlap itself.
      group.push_back(left.front());
      rest.erase(rest.begin());
    }
    std::array<Point, 4> mean{};
    double weight = 0;
    for (const Candidate& one : group) {
      weight += one.score;
      for (std::size_t place = 0; place < mean.size(); ++place) {
        mean[place].x += one.score * one.points[place].x;
        mean[place].y += one.score * one.points[place].y;
      }
    }
    for (Point& point : mean) point = {point.x / weight, point.y / weight};
    faces.push_back({{mean[0].x, mean[0].y, mean[1].x, mean[1].y}, mean[2], mean[3], left.front().score});
    left = std::move(rest);
  }
  return faces;
}

}  // namespace

AnchorGrid short_range() { return {128, {{16, 2}, {8, 6}}}; }
AnchorGrid full_range() { return {192, {{48, 1}}}; }

std::vector<Point> AnchorGrid::centres() const {
  std::vector<Point> found;
  for (const Map& map : maps) {
    for (int row = 0; row < map.cells; ++row) {
      for (int column = 0; column < map.cells; ++column) {
        found.insert(found.end(), static_cast<std::size_t>(map.per_cell),
                     {(column + 0.5) / map.cells, (row + 0.5) / map.cells});
      }
    }
  }
  return found;
}

double sigmoid(double logit) { return 1 / (1 + std::exp(-std::clamp(logit, -kMaxLogit, kMaxLogit))); }

FaceDetector::FaceDetector(const Engine& graph, const AnchorGrid& grid)
    : graph_(graph), size_(grid.input_size), centres_(grid.centres()) {}

std::vector<Detection> FaceDetector::detect(const RgbView& frame) const {
  const Letterbox seen = letterbox(frame, size_);
  const Tensor found = graph_.run(seen.square.pixels, {1, size_, size_, kChannels}, "faces");
  if (found.values.size() != centres_.size() * kDetectorValues) {
    throw bundle_error("a face detector gives another number of values than was declared: export the bundle again");
  }
  std::vector<Candidate> candidates;
  for (std::size_t anchor = 0; anchor < centres_.size(); ++anchor) {
    const float* values = found.values.data() + anchor * kDetectorValues;
    const double score = sigmoid(static_cast<double>(values[kDetectorValues - 1]));
    if (score < kMinScore) continue;
    const auto pair = [&](std::size_t place) {
      return Point{static_cast<double>(values[2 * place]) / size_, static_cast<double>(values[2 * place + 1]) / size_};
    };
    const auto in_frame = [&](double x, double y) {
      return Point{(x * size_ - seen.left) / seen.scale, (y * size_ - seen.top) / seen.scale};
    };
    const Point anchored = centres_[anchor], middle = pair(0), extent = pair(1);
    const double x = middle.x + anchored.x, y = middle.y + anchored.y;
    const auto keypoint = [&](std::size_t place) {
      return in_frame(pair(place).x + anchored.x, pair(place).y + anchored.y);
    };
    candidates.push_back({{in_frame(x - extent.x / 2, y - extent.y / 2), in_frame(x + extent.x / 2, y + extent.y / 2),
                           keypoint(2), keypoint(3)},
                          score});
  }
  return merged(std::move(candidates));
}

Letterbox letterbox(const RgbView& frame, int size) {
  const double scale = static_cast<double>(size) / std::max(frame.width, frame.height);
  const int width = std::max(1, static_cast<int>(rounded(frame.width * scale)));
  const int height = std::max(1, static_cast<int>(rounded(frame.height * scale)));
  const int skip = std::min(std::max(1, static_cast<int>(1 / scale / kSamplesPerPixel)), frame.height);
  const int first_row = skip / 2, num_rows = (frame.height - first_row + skip - 1) / skip;
  const RgbView rows{frame.row(first_row), frame.width, num_rows, skip * frame.stride};
  // The last row that is read may stand for fewer than the others.
  const double bottom = std::min(static_cast<double>(frame.height) / skip, static_cast<double>(num_rows));
  const RgbImage small = resize_bilinear(rows, {0, 0, static_cast<double>(frame.width), bottom}, width, height);
  Letterbox found{RgbImage(size, size), scale, (size - width) / 2, (size - height) / 2};
  for (int y = 0; y < height; ++y) {
    std::memcpy(found.square.row(found.top + y) + std::ptrdiff_t{kChannels} * found.left, small.view().row(y),
                static_cast<std::size_t>(small.stride()));
  }
  return found;
}

}  // namespace cavsync
