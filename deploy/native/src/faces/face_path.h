// The faces of a stream and its audio joined into rows of similarities, in order of time.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "faces/face_grid.h"
#include "lag_rows.h"
#include "video_track.h"

namespace cavsync {

// Similarities (lags) of one face at a moment, NaN without audio; `level_dbfs` is the level of the audio segment there.
struct FaceRow {
  int track;
  double time_seconds;
  int epoch;
  std::vector<double> similarity;
  double level_dbfs;
  FaceLook look;
};

struct FacePathOptions {
  double max_lead_seconds;
  double group_seconds;
  bool looks_far;
};

// Push the frames that a `VideoTrack` accepted and audio; take rows by window. Rows wait for their audio as those of the
// whole picture do (see `RowStream`), and are kept until `drop_before`.
class FacePath {
 public:
  // The bundle must have a face path; `video` is where the frames come from.
  FacePath(const std::shared_ptr<const Bundle>& bundle, const Grid& grid, VideoTrack& video,
           const FacePathOptions& options);

  AudioTrack& audio() { return lags_.audio(); }
  // Add the frame that the video track accepted last.
  void push(const RgbView& frame, double pts_seconds);
  // End both tracks.
  void finish();
  // Complete the rows whose audio has arrived or is no longer waited for, and return them.
  std::vector<std::shared_ptr<const FaceRow>> advance();
  // Whether every row of this epoch before `end_seconds` that will ever exist is there.
  bool is_complete(int epoch, double end_seconds) const;
  // The rows of a window, in order of time.
  std::vector<std::shared_ptr<const FaceRow>> rows(int epoch, double start_seconds, double end_seconds) const;
  // Release the rows of earlier epochs and those before this time.
  void drop_before(int epoch, double time_seconds);
  // The curve of some faces over twice the search range; nothing without `looks_far`.
  std::optional<Curve> far_curve(const std::set<int>& tracks);

 private:
  // Moments embedded together, and the stream's clocks there.
  struct Group {
    std::vector<FaceInstant> instants;
    int epoch;
    double elapsed_seconds;
  };

  void encode();
  void add_rows(const Group& group, int audio_epoch, std::vector<std::shared_ptr<const FaceRow>>& rows);

  std::shared_ptr<const Bundle> bundle_;
  const FaceEngines& engines_;
  VideoTrack& video_;
  double max_lead_seconds_;
  double period_seconds_;
  std::int64_t group_frames_;
  std::unique_ptr<FarLook> far_look_;
  LagRows lags_;
  FaceFinder finder_;
  EpochClock clock_;
  EpochPairing pairing_;
  FaceGrid grid_;
  double last_seconds_ = -std::numeric_limits<double>::infinity();
  double used_seconds_ = -std::numeric_limits<double>::infinity();
  double elapsed_seconds_ = 0.0;
  std::deque<Group> groups_;
  std::deque<std::shared_ptr<const FaceRow>> rows_;
};

}  // namespace cavsync
