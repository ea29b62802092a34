#include "rate_check.h"

#include "error.h"
#include "text.h"

namespace cavsync {

namespace {
// Timestamps that advance by less or more than this share of the audio's length indicate a wrong rate (48 kHz pushed as
// 44.1 kHz: 0.92). A single step, as after an edit, affects one span; a wrong rate affects all of them.
constexpr double kMinAdvanceShare = 0.95;
constexpr double kMaxAdvanceShare = 1.05;
constexpr double kGapShare = 1.02;
constexpr double kMostly = 0.9;
constexpr double kSpanSeconds = 2.0;
constexpr int kNumSpans = 2;
}  // namespace

void RateCheck::add(double pts_seconds, double length_seconds, int rate_hz) {
  const auto before_seconds = last_seconds_;
  const double before_length_seconds = last_length_seconds_;
  last_seconds_ = pts_seconds;
  last_length_seconds_ = length_seconds;
  if (!before_seconds || before_length_seconds == 0) return;
  const double advance_seconds = pts_seconds - *before_seconds;
  if (!(advance_seconds > 0 && advance_seconds < before_length_seconds + 1)) {
    num_wrong_spans_ = 0;
    begin_span();
    return;
  }
  advance_seconds_ += advance_seconds;
  audio_seconds_ += before_length_seconds;
  ++num_pieces_;
  num_apart_ += advance_seconds > kGapShare * before_length_seconds;
  if (audio_seconds_ >= kSpanSeconds) end_span();
  if (num_wrong_spans_ >= kNumSpans) {
    throw media_error(
        format("the audio's timestamps advance by %.2f s per second of audio at %d Hz: push it with its true "
               "rate, perhaps %.0f Hz",
               share_, rate_hz, rate_hz / share_));
  }
}

void RateCheck::end_span() {
  const double share = advance_seconds_ / audio_seconds_;
  // Lost packets leave gaps between some pieces, a rate that is too high leaves gaps between all of them.
  const bool is_apart = share > kMaxAdvanceShare && num_apart_ > kMostly * num_pieces_;
  num_wrong_spans_ = share < kMinAdvanceShare || is_apart ? num_wrong_spans_ + 1 : 0;
  share_ = share;
  begin_span();
}

void RateCheck::begin_span() {
  advance_seconds_ = audio_seconds_ = 0;
  num_pieces_ = num_apart_ = 0;
}

}  // namespace cavsync
