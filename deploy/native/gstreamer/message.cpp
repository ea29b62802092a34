#include "message.h"

#include <cmath>

namespace cavsync {

namespace {

void add_number(GstStructure* structure, const char* name, double value) {
  if (!std::isnan(value)) gst_structure_set(structure, name, G_TYPE_DOUBLE, value, nullptr);
}

void add_text(GstStructure* structure, const char* name, const char* value) {
  if (value[0] != '\0') gst_structure_set(structure, name, G_TYPE_STRING, value, nullptr);
}

GstClockTime clock_time(double seconds) {
  return seconds < 0 ? GST_CLOCK_TIME_NONE : static_cast<GstClockTime>(std::llround(seconds * GST_SECOND));
}

// The window's beginning in the times of `level`: of buffers, of the stream and of the pipeline.
void add_times(GstStructure* structure, const cavsync_record& record, const Segments& segments) {
  const GstClockTime running = clock_time(record.time_seconds - record.window_seconds);
  GstClockTime timestamp = GST_CLOCK_TIME_NONE, stream_time = GST_CLOCK_TIME_NONE;
  for (auto segment = segments.rbegin(); segment != segments.rend() && !GST_CLOCK_TIME_IS_VALID(timestamp); ++segment) {
    timestamp = gst_segment_position_from_running_time(&*segment, GST_FORMAT_TIME, running);
    if (GST_CLOCK_TIME_IS_VALID(timestamp)) {
      stream_time = gst_segment_to_stream_time(&*segment, GST_FORMAT_TIME, timestamp);
    }
  }
  gst_structure_set(structure, "timestamp", GST_TYPE_CLOCK_TIME, timestamp, "stream-time", GST_TYPE_CLOCK_TIME,
                    stream_time, "running-time", GST_TYPE_CLOCK_TIME, running, "duration", GST_TYPE_CLOCK_TIME,
                    clock_time(record.window_seconds), nullptr);
}

}  // namespace

GstMessage* message_of(GstObject* source, const cavsync_record& record, const Segments& segments) {
  GstStructure* structure = gst_structure_new_empty("cavsync");
  add_times(structure, record, segments);
  add_number(structure, "time_seconds", record.time_seconds);
  add_number(structure, "window_seconds", record.window_seconds);
  add_number(structure, "audio_offset_ms", record.audio_offset_ms);
  add_number(structure, "offset_resolution_ms", record.offset_resolution_ms);
  add_number(structure, "suggested_audio_delay_ms", record.suggested_audio_delay_ms);
  add_number(structure, "similarity", record.similarity);
  add_number(structure, "confidence", record.confidence);
  add_text(structure, "state", cavsync_state_name(record.state));
  add_text(structure, "profile", record.profile);
  if (record.within_profile >= 0) {
    gst_structure_set(structure, "within_profile", G_TYPE_BOOLEAN, record.within_profile == 1, nullptr);
  }
  add_text(structure, "reason", record.reason);
  add_text(structure, "path", record.path == CAVSYNC_PATH_FACE ? "face" : "whole");
  return gst_message_new_element(source, structure);
}

}  // namespace cavsync
