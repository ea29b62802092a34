// Drift, worst offset and out-of-sync events over all decisions of a stream.
#pragma once

#include <optional>
#include <vector>

#include "record.h"

namespace cavsync {

// The slope of the trusted offsets over time: the median slope of all pairs (Theil 1950, Sen 1968). Nothing where there
// are too few, where they span too little, or where half of them lie far from the line.
std::optional<double> drift_ms_per_minute(const std::vector<Record>& records);

// The trusted offset farthest from zero, signed.
std::optional<double> worst_offset_ms(const std::vector<Record>& records);

// The groups of consecutive early, or late, decisions; undetermined gaps up to one window are bridged. A decision covers
// `step_seconds` around the middle of its window; the first one extends to the start and the last one to the end.
std::vector<cavsync_event> out_of_sync_events(const std::vector<Record>& records, double step_seconds,
                                              double start_seconds, double end_seconds);

}  // namespace cavsync
