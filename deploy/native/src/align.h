// Alignment of video times with log-mel frames. Log-mel frame m covers samples [160 m, 160 m + 400) of 16 kHz audio.
#pragma once

#include <cstdint>

#include "whole_numbers.h"

namespace cavsync {

constexpr int kSampleRateHz = 16'000;
constexpr int kFrameLengthSamples = 400;
constexpr int kFrameShiftSamples = 160;

// Whole log-mel frames in so many samples.
inline std::int64_t num_log_mel_frames(std::int64_t num_samples) {
  const std::int64_t count = floor_div(num_samples - kFrameLengthSamples, kFrameShiftSamples) + 1;
  return count < 0 ? 0 : count;
}

// Centre of the segment of so many log-mel frames from `start_frame` on, in seconds of audio.
inline double segment_center_seconds(std::int64_t start_frame, int length_frames) {
  const double center_frames = static_cast<double>(start_frame) + (length_frames - 1) / 2.0;
  return (center_frames * kFrameShiftSamples + kFrameLengthSamples / 2.0) / kSampleRateHz;
}

}  // namespace cavsync
