// The speaking face of a whole stream: at each time one of the faces, summed over the stream.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "block_sums.h"
#include "faces/face_path.h"
#include "record.h"

namespace cavsync {

struct SpeakingFace {
  std::set<int> tracks;
  Curve curve;
  FaceView view;
  // Level of the audio at each moment.
  std::vector<double> level_dbfs;
};

// Sums of a stream's face rows in blocks of `block_seconds`: for each face 6 bytes per block and lag, 48 per row. A block
// of time has a block of sums for each face in it.
class FaceFile {
 public:
  FaceFile(const std::vector<double>& lags_ms, double block_seconds, double rate_hz)
      : lags_ms_(lags_ms), block_seconds_(block_seconds), rate_hz_(rate_hz), sums_(lags_ms.size()) {}

  void add(const FaceRow& row);
  // Most faces in one frame.
  int most_at_once() const { return most_at_once_; }
  // The speaking face: in each block the one that most of its decided windows chose, else the one that matches the sound
  // best; nothing where faces fill too little of the stream.
  std::optional<SpeakingFace> speaking(const std::vector<Record>& records, double duration_seconds) const;

 private:
  // A block of sums: its block of time, face, and first row.
  struct Block {
    std::size_t time_block;
    int track;
    double start_seconds;
  };
  struct Facts {
    double time_seconds;
    std::uint32_t block;
    float mouth_opening, level_dbfs, presence, frontality, eye_distance_px;
    std::array<float, 4> box;
  };

  std::vector<bool> chosen(const std::vector<Record>& records) const;
  FaceView view_of(const std::vector<const Facts*>& rows, double share) const;

  std::vector<double> lags_ms_;
  double block_seconds_;
  double rate_hz_;
  BlockSums sums_;
  std::vector<Block> blocks_;
  std::vector<Facts> facts_;
  FrameSize frame_size_;
  // The current block of time, and its blocks of sums by face.
  int epoch_ = -1;
  double begun_seconds_ = 0;
  std::size_t num_times_ = 0;
  std::map<int, std::size_t> open_;
  // The latest moment, and the faces in it.
  int moment_epoch_ = -1;
  double moment_seconds_ = 0;
  int num_at_once_ = 0;
  int most_at_once_ = 0;
};

}  // namespace cavsync
