// Decisions and events as element messages, shaped like those of `level`.
#pragma once

#include <gst/gst.h>

#include <deque>

#include "cavsync.h"

namespace cavsync {

// The segments of the video track, newest last: a decision is about frames of a moment ago.
using Segments = std::deque<GstSegment>;

// When something begins, in the times of `level`: of buffers, of the stream and of the pipeline.
struct MessageTimes {
  GstClockTime timestamp = GST_CLOCK_TIME_NONE;
  GstClockTime stream_time = GST_CLOCK_TIME_NONE;
  GstClockTime running_time = GST_CLOCK_TIME_NONE;
};

MessageTimes times_of(double running_seconds, const Segments& segments);

// The message "cavsync" of `source` about a decision in running time. What is unknown is left out.
GstMessage* message_of(GstObject* source, const cavsync_record& record, const cavsync_face& face,
                       const Segments& segments);
// The message "cavsync-event" of `source` about an event that began at `times`, or ended. The duration is unknown until the
// end.
GstMessage* message_of(GstObject* source, const cavsync_event_change& change, const MessageTimes& times);

}  // namespace cavsync
