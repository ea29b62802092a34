// Compares how far timestamps advance with the length of the audio: a wrong rate must not be scored.
#pragma once

#include <optional>

namespace cavsync {

class RateCheck {
 public:
  // Add a piece; a media error while the last spans had a wrong rate.
  void add(double pts_seconds, double length_seconds, int rate_hz);

 private:
  void begin_span();
  void end_span();

  std::optional<double> last_seconds_;
  double last_length_seconds_ = 0;
  int num_wrong_spans_ = 0;
  double share_ = 1;
  double advance_seconds_ = 0, audio_seconds_ = 0;
  int num_pieces_ = 0, num_apart_ = 0;
};

}  // namespace cavsync
