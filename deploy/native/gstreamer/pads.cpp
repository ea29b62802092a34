#include "pads.h"

#include <algorithm>
#include <optional>

#include "formats.h"

namespace cavsync {

namespace {

constexpr std::size_t kMaxSegments = 8;
constexpr double kUsualFrameSeconds = 0.04;

GstCavsync* element_of(GstObject* parent) { return reinterpret_cast<GstCavsync*>(parent); }

PadPair& pair_of(GstCavsync* self, GstPad* pad) {
  auto& pads = self->state->pads;
  return pads[0].sink == pad || pads[0].src == pad ? pads[0] : pads[1];
}

// Default handlers of events and queries go where this leads: to the other pad of the same track.
GstIterator* internal_links(GstPad* pad, GstObject* parent) {
  const PadPair& pair = pair_of(element_of(parent), pad);
  GValue other = G_VALUE_INIT;
  g_value_init(&other, GST_TYPE_PAD);
  g_value_set_object(&other, pad == pair.sink ? pair.src : pair.sink);
  GstIterator* links = gst_iterator_new_single(GST_TYPE_PAD, &other);
  g_value_unset(&other);
  return links;
}

// Buffers are not delayed: the latency is that of the track upstream.
gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  return gst_pad_peer_query(pair_of(element_of(parent), pad).sink, query);
}

void set_format(PadPair& pair, GstEvent* event) {
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  pair.has_format = pair.track == Track::kAudio ? gst_audio_info_from_caps(&pair.audio, caps)
                                                : gst_video_info_from_caps(&pair.video, caps);
}

void set_segment(GstCavsync* self, PadPair& pair, Analysis& analysis, GstEvent* event) {
  analysis.begin_segment(pair.track);
  gst_event_copy_segment(event, &pair.segment);
  if (pair.track == Track::kAudio || pair.segment.format != GST_FORMAT_TIME) return;
  const std::lock_guard lock(self->state->mutex);
  Segments& segments = self->state->segments;
  segments.push_back(pair.segment);
  if (segments.size() > kMaxSegments) segments.pop_front();
}

// A new stream has begun: its first decision is posted, whatever the interval.
void forget_posts(GstCavsync* self) {
  const std::lock_guard lock(self->state->mutex);
  self->state->has_posted = false;
}

void stop_flushing(GstCavsync* self, PadPair& pair, Analysis& analysis, GstEvent* event) {
  gboolean resets_time = FALSE;
  gst_event_parse_flush_stop(event, &resets_time);
  gst_segment_init(&pair.segment, GST_FORMAT_UNDEFINED);
  std::unique_lock lock(self->state->mutex);
  self->state->has_ended[static_cast<std::size_t>(pair.track)] = false;
  if (pair.track == Track::kVideo) self->state->segments.clear();
  lock.unlock();
  if (analysis.stop_flushing(pair.track, resets_time)) forget_posts(self);
}

// A stream may follow another one without a flush.
void begin_stream(GstCavsync* self, PadPair& pair, Analysis& analysis) {
  std::unique_lock lock(self->state->mutex);
  self->state->has_ended[static_cast<std::size_t>(pair.track)] = false;
  lock.unlock();
  if (!analysis.has_ended()) return;
  forget_posts(self);
  analysis.reset();
}

// The last decisions come before the last track's end of stream.
void end_track(GstCavsync* self, PadPair& pair, Analysis& analysis) {
  auto& pads = self->state->pads;
  std::unique_lock lock(self->state->mutex);
  self->state->has_ended[static_cast<std::size_t>(pair.track)] = true;
  const auto has_ended = self->state->has_ended;
  lock.unlock();
  const bool is_last = std::all_of(pads.begin(), pads.end(), [&](const PadPair& one) {
    return has_ended[static_cast<std::size_t>(one.track)] || !gst_pad_is_linked(one.sink);
  });
  if (is_last) analysis.drain();
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  GstCavsync* self = element_of(parent);
  PadPair& pair = pair_of(self, pad);
  if (const auto analysis = gst_cavsync_analysis(self)) {
    switch (GST_EVENT_TYPE(event)) {
      case GST_EVENT_FLUSH_START: analysis->start_flushing(pair.track); break;
      case GST_EVENT_FLUSH_STOP: stop_flushing(self, pair, *analysis, event); break;
      case GST_EVENT_STREAM_START: begin_stream(self, pair, *analysis); break;
      case GST_EVENT_CAPS: set_format(pair, event); break;
      case GST_EVENT_SEGMENT: set_segment(self, pair, *analysis, event); break;
      case GST_EVENT_EOS: end_track(self, pair, *analysis); break;
      default: break;
    }
  }
  return gst_pad_event_default(pad, parent, event);
}

double seconds_of(const GstAudioInfo& info, std::size_t size) {
  return static_cast<double>(size) / GST_AUDIO_INFO_BPF(&info) / GST_AUDIO_INFO_RATE(&info);
}

// The running time of a buffer at normal speed that is at least partly shown; otherwise it is not scored.
std::optional<double> running_seconds(const PadPair& pair, GstBuffer* buffer, double duration_seconds) {
  const GstClockTime start = GST_BUFFER_PTS(buffer);
  if (!pair.has_format || pair.segment.format != GST_FORMAT_TIME || pair.segment.rate != 1.0 ||
      !GST_CLOCK_TIME_IS_VALID(start)) {
    return std::nullopt;
  }
  const GstClockTime end = start + static_cast<GstClockTime>(duration_seconds * GST_SECOND);
  if (!gst_segment_clip(&pair.segment, GST_FORMAT_TIME, start, end, nullptr, nullptr)) return std::nullopt;
  guint64 running = 0;
  const int sign = gst_segment_to_running_time_full(&pair.segment, GST_FORMAT_TIME, start, &running);
  if (sign == 0) return std::nullopt;
  return sign * static_cast<double>(running) / GST_SECOND;
}

void analyse_audio(const PadPair& pair, GstBuffer* buffer, Analysis& analysis) {
  GstMapInfo map;
  if (!pair.has_format || !gst_buffer_map(buffer, &map, GST_MAP_READ)) return;
  const GstAudioInfo& info = pair.audio;
  if (const auto seconds = running_seconds(pair, buffer, seconds_of(info, map.size))) {
    analysis.push_audio(
        {map.data, sample_format_of(info), map.size / static_cast<std::size_t>(GST_AUDIO_INFO_BPF(&info)),
         GST_AUDIO_INFO_CHANNELS(&info), GST_AUDIO_INFO_RATE(&info)},
        *seconds);
  }
  gst_buffer_unmap(buffer, &map);
}

void analyse_video(const PadPair& pair, GstBuffer* buffer, Analysis& analysis) {
  const GstClockTime duration = GST_BUFFER_DURATION(buffer);
  const double duration_seconds =
      GST_CLOCK_TIME_IS_VALID(duration) ? static_cast<double>(duration) / GST_SECOND : kUsualFrameSeconds;
  const auto seconds = running_seconds(pair, buffer, duration_seconds);
  GstVideoFrame mapped;
  if (!seconds || !gst_video_frame_map(&mapped, &pair.video, buffer, GST_MAP_READ)) return;
  if (const auto frame = frame_of(mapped)) analysis.push_video(*frame, *seconds, duration_seconds);
  gst_video_frame_unmap(&mapped);
}

GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  GstCavsync* self = element_of(parent);
  const PadPair& pair = pair_of(self, pad);
  if (const auto analysis = gst_cavsync_analysis(self)) {
    pair.track == Track::kAudio ? analyse_audio(pair, buffer, *analysis) : analyse_video(pair, buffer, *analysis);
  }
  return gst_pad_push(pair.src, buffer);
}

GstPad* added_pad(GstCavsync* self, const char* name) {
  GstPadTemplate* pad_template = gst_element_class_get_pad_template(GST_ELEMENT_GET_CLASS(self), name);
  GstPad* pad = gst_pad_new_from_template(pad_template, name);
  gst_pad_set_iterate_internal_links_function(pad, internal_links);
  GST_PAD_SET_PROXY_CAPS(pad);
  GST_PAD_SET_PROXY_ALLOCATION(pad);
  return pad;
}

}  // namespace

const char* sink_name(Track track) { return track == Track::kAudio ? "audio_sink" : "video_sink"; }

const char* src_name(Track track) { return track == Track::kAudio ? "audio_src" : "video_src"; }

void add_pads(GstCavsync* self) {
  for (const Track track : {Track::kAudio, Track::kVideo}) {
    PadPair& pair = self->state->pads[static_cast<std::size_t>(track)];
    pair.track = track;
    gst_segment_init(&pair.segment, GST_FORMAT_UNDEFINED);
    pair.sink = added_pad(self, sink_name(track));
    pair.src = added_pad(self, src_name(track));
    gst_pad_set_chain_function(pair.sink, chain);
    gst_pad_set_event_function(pair.sink, sink_event);
    gst_pad_set_query_function(pair.src, src_query);
    gst_element_add_pad(GST_ELEMENT(self), pair.sink);
    gst_element_add_pad(GST_ELEMENT(self), pair.src);
  }
}

}  // namespace cavsync
