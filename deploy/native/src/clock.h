// Clocks that are set back: epochs of one track, and the pairing of the audio's epochs with the frames'.
#pragma once

#include <functional>
#include <map>
#include <optional>

namespace cavsync {

// Where an epoch ended on its own clock, and where the next one began on that one's.
struct EpochEnd {
  double last_seconds;
  double next_seconds;
  double back_seconds() const { return last_seconds - next_seconds; }
};

// The epochs of one track, counted from 0. `progress` is stream time that never goes back.
class EpochClock {
 public:
  int epoch() const { return epoch_; }
  // Begin a new epoch at `next_seconds`; the old one reached `last_seconds` of its own clock.
  void set_back(double last_seconds, double next_seconds);
  double progress(double seconds) const { return seconds + base_seconds_; }
  // Where an epoch ended; nothing for the current one.
  std::optional<EpochEnd> end_of(int epoch) const;
  void forget_before(int epoch) { ends_.erase(ends_.begin(), ends_.lower_bound(epoch)); }

 private:
  int epoch_ = 0;
  double base_seconds_ = 0.0;
  std::map<int, EpochEnd> ends_;
};

// Finds the epoch of the audio that belongs to a frame; frames must be queried in order. Two clocks set back within
// kPatienceSeconds of each other begin a new pair of epochs. If only one is set back, the other track stays in its
// epoch, whose timestamps then show that these frames have no audio.
class EpochPairing {
 public:
  EpochPairing(EpochClock& video, EpochClock& audio) : video_(video), audio_(audio) {}

  // Epoch of the audio for a frame at `seconds` of `epoch`; nothing while more audio could give another answer.
  // `audio_seconds` is the timestamp at the end of the audio, infinite if no more is waited for; `covers` tells whether
  // an epoch of the audio has arrived around the frame's timestamp.
  std::optional<int> epoch_of(int epoch, double seconds, double audio_seconds, const std::function<bool(int)>& covers);

 private:
  bool pass_end(double audio_seconds);
  void advance(const std::optional<EpochEnd>& video, const std::optional<EpochEnd>& audio);

  EpochClock& video_;
  EpochClock& audio_;
  int video_epoch_ = 0;
  int audio_epoch_ = 0;
  // How far the audio's clock is ahead of the frames' clock, in the current pair, where both have come as far.
  double ahead_seconds_ = 0.0;
};

}  // namespace cavsync
