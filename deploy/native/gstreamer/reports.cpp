#include "reports.h"

GST_DEBUG_CATEGORY_STATIC(cavsync_debug);
#define GST_CAT_DEFAULT cavsync_debug

namespace cavsync {

namespace {

// Whether a decision is to be posted: `interval` after the last one, or because the state changed.
bool is_due(ElementState& state, const cavsync_record& record) {
  const double passed_seconds = record.time_seconds - state.posted_seconds;
  const double interval_seconds = static_cast<double>(state.settings.interval) / GST_SECOND;
  const bool is_soon = passed_seconds >= 0 && passed_seconds < interval_seconds - 1e-6;
  const bool repeats = state.has_posted && state.posted_state == record.state;
  if (!state.settings.posts_messages || (repeats && is_soon)) return false;
  state.has_posted = true;
  state.posted_seconds = record.time_seconds;
  state.posted_state = record.state;
  return true;
}

}  // namespace

void init_debug_category() { GST_DEBUG_CATEGORY_INIT(cavsync_debug, "cavsync", 0, "audio-visual sync"); }

void post_decision(GstCavsync* self, const cavsync_record& record, const cavsync_face& face) {
  GST_LOG_OBJECT(self, "%.3f s: %s, %.1f ms", record.time_seconds, cavsync_state_name(record.state),
                 record.audio_offset_ms);
  std::unique_lock lock(self->state->mutex);
  const bool posts = is_due(*self->state, record);
  const Segments segments = self->state->segments;
  lock.unlock();
  if (posts) gst_element_post_message(GST_ELEMENT(self), message_of(GST_OBJECT(self), record, face, segments));
}

void post_event(GstCavsync* self, const cavsync_event_change& change) {
  const bool begins = change.phase == CAVSYNC_EVENT_BEGAN;
  GST_DEBUG_OBJECT(self, "%s %s, from %.3f s on, up to %.1f ms", cavsync_state_name(change.event.state),
                   begins ? "began" : "ended", change.event.start_seconds, change.event.extreme_ms);
  ElementState& state = *self->state;
  std::unique_lock lock(self->state->mutex);
  if (begins) state.event_times = times_of(change.event.start_seconds, state.segments);
  const bool posts = state.settings.posts_messages;
  const MessageTimes times = state.event_times;
  lock.unlock();
  if (posts) gst_element_post_message(GST_ELEMENT(self), message_of(GST_OBJECT(self), change, times));
}

void post_trouble(GstCavsync* self, const std::string& sentence) {
  GST_ELEMENT_WARNING(self, STREAM, FAILED, ("Scoring is not possible: %s", sentence.c_str()), (nullptr));
}

}  // namespace cavsync
