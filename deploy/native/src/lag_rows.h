// The similarities of a moment of the video with the audio around it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "audio_track.h"
#include "far_look.h"
#include "grid.h"

namespace cavsync {

// Push 16 kHz audio into `audio`; for moments of the video in an epoch of the audio: wait, embed, read rows of
// cos(v, a(t + lag)) over the grid of lags.
class LagRows {
 public:
  // `wait_seconds` is how long audio must be kept besides the search range and a segment; `far_look` gets all rows that
  // are read, or is null.
  LagRows(const std::shared_ptr<const AudioEncoder>& encoder, const Grid& grid, double wait_seconds, FarLook* far_look);

  AudioTrack& audio() { return audio_; }
  const AudioTrack& audio() const { return audio_; }
  // Epoch of the audio for moments of an epoch of the video, the last of them at `last_seconds`, once the audio has
  // arrived or can no longer arrive or is too late; nothing while it is waited for.
  std::optional<int> epoch_for(EpochPairing& pairing, int epoch, double last_seconds, bool is_late) const;
  // Embed the audio that the rows of these moments need at the lags that are true; of the grid, every `step`-th instant.
  void embed(int epoch, const std::vector<double>& times_seconds, const std::vector<bool>& lags, std::int64_t step = 1);
  // At all lags.
  void embed(int epoch, const std::vector<double>& times_seconds, std::int64_t step = 1);
  // The row (lags) of a moment with the embedding (D); NaN where audio is missing or not embedded. It rests on every
  // `step`-th instant of the grid, with straight lines between them. `track` is the number of a face.
  std::vector<double> similarity(int epoch, double time_seconds, const std::vector<float>& embedding,
                                 std::int64_t step = 1, int track = 0);
  // Level of the segment nearest to the moment.
  double level_dbfs(int epoch, double time_seconds) const;
  // Release the audio that no moment from `time_seconds` on needs, once the audio has come as far.
  void drop_before(int epoch, double time_seconds);

 private:
  bool covers(int epoch, double time_seconds) const;
  std::int64_t stop(double time_seconds) const { return place(time_seconds).below + reach_ + 2; }
  GridPlace place(double time_seconds) const;

  std::int64_t reach_;
  double hop_seconds_;
  double first_center_seconds_;
  FarLook* far_look_;
  AudioTrack audio_;
};

}  // namespace cavsync
