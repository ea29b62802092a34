// Frames and the audio of a stream joined into one row of similarities per frame, in order of time.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "lag_rows.h"
#include "search.h"
#include "verdict.h"
#include "video_track.h"

namespace cavsync {

// When frames are compared with the audio: as rows are completed, when asked for, or not at all.
enum class Compared { kAtOnce, kOnDemand, kNever };

// How much of a stream is compared: every `stride`-th frame, with every `step`-th instant of the audio.
struct Density {
  std::int64_t stride = 1;
  std::int64_t step = 1;
};

// What a row that is compared on demand is compared from. `index` counts the frames of the stream; the tubelet is there
// until it is embedded, then the embedding (D) is; `density` is that at which the row was compared, nothing before.
struct RowSource {
  std::int64_t index;
  int audio_epoch;
  Tubelet tubelet;
  std::vector<float> embedding;
  std::optional<Density> density;

  // Whether this frame belongs to a density, and was not compared at it or a higher one.
  bool lacks(const Density& wanted) const {
    const bool is_done = density && density->step <= wanted.step;
    return index % wanted.stride == 0 && !is_done;
  }
};

// Similarities (lags) of the frame at `time_seconds`, NaN without audio; its motion, level and frame period. `epoch`
// counts how often the frames' clock was set back; one of `stride` frames was compared.
struct Row {
  double time_seconds;
  std::vector<double> similarity;
  double motion;
  double level_dbfs;
  double period_seconds;
  int epoch;
  std::int64_t stride = 1;
  std::optional<RowSource> source;

  // Whether the similarities are final, or those of a lower density.
  bool is_compared() const { return !source || source->density; }
};
// A row that is compared on demand changes while windows hold it.
using RowPointer = std::shared_ptr<Row>;

struct RowStreamOptions {
  double max_lead_seconds;
  std::size_t group_instants;
  Compared compared;
  // How long after its audio a frame may be compared on demand.
  double demand_seconds;
  bool looks_far;
};

// Push frames into `video` and audio into `audio`, take rows from `complete_rows`. A row waits for its audio until the
// frames are `max_lead_seconds` ahead; the search says which frames have rows, and at which lags. Rows that are compared
// on demand keep their small frames, and the audio is kept
// from the row given to `release` on; without comparison, rows hold motion, level and period only.
class RowStream {
 public:
  RowStream(std::shared_ptr<const Bundle> bundle, const Grid& grid, Search& search, const RowStreamOptions& options);

  VideoTrack& video() { return video_; }
  AudioTrack& audio() { return lags_.audio(); }
  // The curve over twice the search range; nothing without `looks_far`.
  std::optional<Curve> far_curve();
  void finish();
  // The next group of rows whose audio has arrived or is no longer waited for; empty where there is none. Tell the search
  // what they showed before the next call: an adaptive one plans a group by the decisions about the rows before it.
  std::vector<RowPointer> next_rows();
  // Compute the similarities of those of the rows (in order, compared on demand) that belong to a density.
  void compare(const std::vector<RowPointer>& rows, const Density& density);
  // Drop the audio of earlier rows, which will not be compared any more.
  void release(const Row& row);

 private:
  // Instants that wait for their audio, and the embeddings (n, D) of their frames, or the frames themselves where they
  // are compared on demand.
  struct Group {
    std::vector<VisualInstant> instants;
    SearchStep plan;
    std::vector<float> embeddings;
    std::vector<Tubelet> tubelets;
    std::int64_t first_index;
  };

  void take_groups();
  std::vector<RowPointer> rows_of(const Group& group, int epoch);
  void embed(const std::vector<RowPointer>& rows);

  std::shared_ptr<const Bundle> bundle_;
  std::size_t num_lags_;
  Search& search_;
  RowStreamOptions options_;
  VideoTrack video_;
  std::unique_ptr<FarLook> far_look_;
  LagRows lags_;
  EpochPairing pairing_;
  std::deque<Group> groups_;
  std::int64_t num_taken_ = 0;
};

}  // namespace cavsync
