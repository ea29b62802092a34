// Frames and the audio of a stream joined into one row of similarities per frame, in order of time.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "lag_rows.h"
#include "verdict.h"
#include "video_track.h"

namespace cavsync {

// Similarities (lags) of the frame at `time_seconds`, NaN without audio; its motion, level and frame period. `epoch`
// counts how often the frames' clock was set back.
struct Row {
  double time_seconds;
  std::vector<double> similarity;
  double motion;
  double level_dbfs;
  double period_seconds;
  int epoch;
};

// Push frames into `video` and audio into `audio`, take rows from `complete_rows`. A row waits for its audio until the frames
// are `max_lead_seconds` ahead.
class RowStream {
 public:
  RowStream(std::shared_ptr<const Bundle> bundle, const Grid& grid, double max_lead_seconds, std::size_t group_instants,
            bool looks_far);

  VideoTrack& video() { return video_; }
  AudioTrack& audio() { return lags_.audio(); }
  // The curve over twice the search range; nothing without `looks_far`.
  std::optional<Curve> far_curve();
  void finish();
  // The rows whose audio has arrived or is no longer waited for.
  std::vector<Row> complete_rows();

 private:
  // Instants that wait for their audio, and the embeddings (n, D) of their frames.
  struct Group {
    std::vector<VisualInstant> instants;
    std::vector<float> embeddings;
  };

  void take_groups();
  void add_rows(const Group& group, int epoch, std::vector<Row>& rows);

  std::shared_ptr<const Bundle> bundle_;
  double max_lead_seconds_;
  VideoTrack video_;
  std::unique_ptr<FarLook> far_look_;
  LagRows lags_;
  EpochPairing pairing_;
  std::deque<Group> groups_;
};

}  // namespace cavsync
