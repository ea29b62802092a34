// The verdict on a whole stream, from the mean of all its rows, or from its windows where those disagree.
#pragma once

#include "stream_state.h"

namespace cavsync {

// Judge a flushed stream, whose `span` is all of it, by the curves of all its rows, or by its trusted windows where these
// contradict them: an offset that drifts or jumps smears the curve, whose peak would then be a confident but wrong
// constant. The whole picture and the speaking face give a decision each, combined as in a window. Undetermined where
// sound and picture fit better beyond the search range.
Record summarised(const Manifest& manifest, const Options& options, StreamState& stream, const TimeSpan& span);

}  // namespace cavsync
