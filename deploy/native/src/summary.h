// The verdict on a whole stream, from the mean of all its rows, or from its windows where those disagree.
#pragma once

#include <optional>
#include <vector>

#include "manifest.h"
#include "options.h"
#include "whole_file.h"

namespace cavsync {

struct SummaryInput {
  const Manifest& manifest;
  const Options& options;
  const WholeFile& whole;
  const std::vector<Record>& records;
  TimeSpan span;                   // of the whole stream
  double resolution_floor_ms;      // of the lag grid
  std::optional<Curve> far_curve;  // over twice the search range
};

// Judge the stream by the curve of all its rows, or by its trusted windows where they contradict it: an offset that
// drifts or jumps smears the curve, whose peak would then be a confident but wrong constant. Undetermined where sound
// and picture fit better beyond the search range.
Record summarised(const SummaryInput& input);

}  // namespace cavsync
