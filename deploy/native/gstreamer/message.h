// Decisions as element messages, shaped like those of `level`.
#pragma once

#include <gst/gst.h>

#include <deque>

#include "cavsync.h"

namespace cavsync {

// The segments of the video track, newest last: a decision is about frames of a moment ago.
using Segments = std::deque<GstSegment>;

// The message "cavsync" of `source` about a decision in running time. What is unknown is left out.
GstMessage* message_of(GstObject* source, const cavsync_record& record, const Segments& segments);

}  // namespace cavsync
