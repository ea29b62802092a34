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

void add_times(GstStructure* structure, const MessageTimes& times, GstClockTime duration) {
  gst_structure_set(structure, "timestamp", GST_TYPE_CLOCK_TIME, times.timestamp, "stream-time", GST_TYPE_CLOCK_TIME,
                    times.stream_time, "running-time", GST_TYPE_CLOCK_TIME, times.running_time, "duration",
                    GST_TYPE_CLOCK_TIME, duration, nullptr);
}

// As a structure of its own.
void add_face(GstStructure* structure, const cavsync_face& face) {
  GstStructure* found = gst_structure_new("face", "track", G_TYPE_INT, face.track, "frame_width", G_TYPE_INT,
                                          face.frame_width, "frame_height", G_TYPE_INT, face.frame_height, nullptr);
  add_number(found, "left", face.left);
  add_number(found, "top", face.top);
  add_number(found, "right", face.right);
  add_number(found, "bottom", face.bottom);
  add_number(found, "presence", face.presence);
  add_number(found, "frontality", face.frontality);
  add_number(found, "eye_distance_px", face.eye_distance_px);
  add_number(found, "opening_range", face.opening_range);
  add_number(found, "steadiness", face.steadiness);
  add_number(found, "share", face.share);
  gst_structure_set(structure, "face", GST_TYPE_STRUCTURE, found, nullptr);
  gst_structure_free(found);
}

const char* cause_name(cavsync_cause cause) {
  return cause == CAVSYNC_CAUSE_DECISIONS ? "decisions" : cause == CAVSYNC_CAUSE_STREAM_ENDED ? "stream_ended" : "";
}

}  // namespace

MessageTimes times_of(double running_seconds, const Segments& segments) {
  MessageTimes times;
  times.running_time = clock_time(running_seconds);
  for (auto segment = segments.rbegin(); segment != segments.rend() && !GST_CLOCK_TIME_IS_VALID(times.timestamp);
       ++segment) {
    times.timestamp = gst_segment_position_from_running_time(&*segment, GST_FORMAT_TIME, times.running_time);
    if (GST_CLOCK_TIME_IS_VALID(times.timestamp)) {
      times.stream_time = gst_segment_to_stream_time(&*segment, GST_FORMAT_TIME, times.timestamp);
    }
  }
  return times;
}

GstMessage* message_of(GstObject* source, const cavsync_record& record, const cavsync_face& face,
                       const Segments& segments) {
  GstStructure* structure = gst_structure_new_empty("cavsync");
  add_times(structure, times_of(record.time_seconds - record.window_seconds, segments),
            clock_time(record.window_seconds));
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
  if (face.track >= 0) add_face(structure, face);
  return gst_message_new_element(source, structure);
}

GstMessage* message_of(GstObject* source, const cavsync_event_change& change, const MessageTimes& times) {
  const cavsync_event& event = change.event;
  const bool has_ended = change.phase == CAVSYNC_EVENT_ENDED;
  GstStructure* structure = gst_structure_new_empty("cavsync-event");
  add_times(structure, times, has_ended ? clock_time(event.end_seconds - event.start_seconds) : GST_CLOCK_TIME_NONE);
  add_text(structure, "phase", has_ended ? "ended" : "began");
  add_text(structure, "state", cavsync_state_name(event.state));
  add_number(structure, "start", event.start_seconds);
  add_number(structure, "end", event.end_seconds);
  add_number(structure, "extreme", event.extreme_ms);
  add_text(structure, "cause", cause_name(event.cause));
  return gst_message_new_element(source, structure);
}

}  // namespace cavsync
