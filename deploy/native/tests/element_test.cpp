// The GStreamer element between pads of this program: what passes, what is posted, and that nothing hangs.
//   element_test BUNDLE [REPETITIONS [BUNDLE_WITH_FACES]]
// The environment variable CAVSYNC_NATIVE_ROUNDS takes the place of REPETITIONS.
#include "element.h"

#include "element_rig.h"

namespace {

using namespace rig;

void buffers_pass_unchanged() {
  Rig rig;
  for (int number = 0; number < 5; ++number) {
    for (GstHarness* harness : {rig.audio, rig.video}) {
      GstBuffer* buffer = harness == rig.audio ? sound(number) : picture(number);
      gst_buffer_ref(buffer);
      REQUIRE(gst_harness_push(harness, buffer) == GST_FLOW_OK);
      GstBuffer* passed = gst_harness_pull(harness);
      // Not even a copy.
      REQUIRE(passed == buffer && GST_BUFFER_PTS(passed) == static_cast<GstClockTime>(number) * kPeriod);
      gst_buffer_unref(passed);
      gst_buffer_unref(buffer);
    }
  }
}

void events_and_latency_pass() {
  Rig rig;
  gst_harness_set_upstream_latency(rig.video, 40 * GST_MSECOND);
  REQUIRE(gst_harness_query_latency(rig.video) == 40 * GST_MSECOND);
  REQUIRE(gst_harness_push_event(rig.audio, gst_event_new_gap(0, kPeriod)));
  int num_gaps = 0;
  while (GstEvent* event = gst_harness_events_in_queue(rig.audio) > 0 ? gst_harness_pull_event(rig.audio) : nullptr) {
    num_gaps += GST_EVENT_TYPE(event) == GST_EVENT_GAP;
    gst_event_unref(event);
  }
  REQUIRE(num_gaps == 1);
}

// All decisions come before the last track's end; a new stream may follow, with or without a flush.
void streams_end_and_begin(int repetitions) {
  Rig rig;
  rig.set_dropping();
  for (int round = 0; round < repetitions; ++round) {
    push_both(rig, 0, 4 * kFrameRateHz);
    rig.push_event_to_both(gst_event_new_eos());
    const std::vector<double> decisions = rig.decisions();
    REQUIRE(!decisions.empty() && decisions.back() > 3.4 && decisions.back() < 4.1);
    if (round % 2 == 0) {
      start_flush(rig);
      stop_flush(rig);
    } else {
      begin_stream(rig);
    }
  }
}

void formats_may_change(int repetitions) {
  static const char* const videos[] = {"video/x-raw,format=RGB,width=32,height=24,framerate=25/1",
                                       "video/x-raw,format=I420,width=64,height=48,framerate=25/1", kGrey};
  Rig rig;
  rig.set_dropping();
  for (int round = 0; round < repetitions; ++round) {
    gst_harness_set_src_caps_str(rig.video, videos[round % 3]);
    gst_harness_set_src_caps_str(
        rig.audio, round % 2 == 0 ? "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2" : kMono);
    const std::size_t video_bytes = round % 3 == 0 ? 32 * 24 * 3 : round % 3 == 1 ? 64 * 48 * 3 / 2 : kSide * kSide;
    const std::size_t audio_bytes = round % 2 == 0 ? 4 * 1'920 : sizeof(float) * kSamples;
    for (int number = round * 10; number < round * 10 + 10; ++number) {
      for (const auto& [harness, size] : {std::pair{rig.video, video_bytes}, std::pair{rig.audio, audio_bytes}}) {
        GstBuffer* buffer = gst_buffer_new_allocate(nullptr, size, nullptr);
        gst_buffer_memset(buffer, 0, 0, size);
        REQUIRE(gst_harness_push(harness, stamped(buffer, number)) == GST_FLOW_OK);
      }
    }
  }
  rig.push_event_to_both(gst_event_new_eos());
  REQUIRE(repetitions < 10 || !rig.decisions().empty());
  REQUIRE(!rig.has_message(GST_MESSAGE_WARNING));
}

void other_speeds_are_not_scored() {
  Rig rig;
  rig.set_dropping();
  begin_segment(rig, 2.0);
  push_both(rig, 0, 4 * kFrameRateHz);
  rig.push_event_to_both(gst_event_new_eos());
  // "There is nothing to decide", of no length.
  for (const double seconds : rig.decisions()) REQUIRE(seconds < 0.1);
}

void messages_can_be_turned_off_and_thinned() {
  Rig rig;
  rig.set_dropping();
  g_object_set(rig.element(), "post-messages", FALSE, nullptr);
  push_both(rig, 0, 4 * kFrameRateHz);
  rig.push_event_to_both(gst_event_new_eos());
  REQUIRE(rig.decisions().empty());
  start_flush(rig);
  stop_flush(rig);
  // Silence has one state all the time.
  g_object_set(rig.element(), "post-messages", TRUE, "interval", 2 * GST_SECOND, nullptr);
  for (int number = 0; number < 8 * kFrameRateHz; ++number) {
    GstBuffer* silence = gst_buffer_new_allocate(nullptr, kSamples * sizeof(float), nullptr);
    gst_buffer_memset(silence, 0, 0, kSamples * sizeof(float));
    gst_harness_push(rig.audio, stamped(silence, number));
    gst_harness_push(rig.video, picture(number));
  }
  rig.push_event_to_both(gst_event_new_eos());
  const std::vector<double> times = rig.decisions();
  REQUIRE(times.size() >= 2 && times.size() <= 4);
  for (std::size_t place = 1; place < times.size(); ++place) REQUIRE(times[place] - times[place - 1] > 1.9);
}

// Of an event that has begun the end is posted as well: at the end of the stream, and where a flush ends it.
void events_begin_and_end(int repetitions) {
  Rig rig("block", nullptr, "whole", 1);
  rig.set_dropping();
  for (int round = 0; round < repetitions; ++round) {
    push_both(rig, 0, 6 * kFrameRateHz, nullptr, late_sound);
    // Before a flush, the thread may not have come as far.
    while (round % 2 == 1 && rig.events.empty()) rig.decisions();
    if (round % 2 == 1) start_flush(rig), stop_flush(rig);
    rig.push_event_to_both(gst_event_new_eos());
    const std::vector<double> decisions = rig.decisions();
    REQUIRE(rig.events.size() == 2);
    const Rig::Event &begins = rig.events[0], &ends = rig.events[1];
    REQUIRE(begins.phase == "began" && begins.cause.empty() && !GST_CLOCK_TIME_IS_VALID(begins.duration));
    REQUIRE(ends.phase == "ended" && ends.cause == "stream_ended" && begins.start == ends.start);
    REQUIRE(begins.running_time == static_cast<GstClockTime>(std::llround(begins.start * GST_SECOND)));
    REQUIRE(begins.stream_time == begins.running_time && ends.stream_time == begins.stream_time);
    REQUIRE(ends.duration == static_cast<GstClockTime>(std::llround((ends.end - ends.start) * GST_SECOND)));
    REQUIRE(round % 2 == 1 || ends.end == decisions.back());
    rig.events.clear();
    begin_stream(rig);
  }
}

// A bundle whose faces are the halves of the picture, with mouths as open as these are bright: the left one speaks.
void faces_are_posted() {
  constexpr int width = 192, height = 96;
  Rig rig("block", nullptr, "face");
  rig.set_dropping();
  gst_harness_set_src_caps_str(rig.video, "video/x-raw,format=GRAY8,width=192,height=96,framerate=25/1");
  for (int number = 0; number < 4 * kFrameRateHz; ++number) {
    GstBuffer* frame = gst_buffer_new_allocate(nullptr, width * height, nullptr);
    GstMapInfo map;
    REQUIRE(gst_buffer_map(frame, &map, GST_MAP_WRITE));
    for (int place = 0; place < width * height; ++place) {
      map.data[place] = place % width < width / 2 ? static_cast<guint8>(255 * (0.1 + 0.2 * loudness(number))) : 26;
    }
    gst_buffer_unmap(frame, &map);
    REQUIRE(gst_harness_push(rig.video, stamped(frame, number)) == GST_FLOW_OK);
    REQUIRE(gst_harness_push(rig.audio, sound(number)) == GST_FLOW_OK);
  }
  rig.push_event_to_both(gst_event_new_eos());
  REQUIRE(!rig.decisions().empty() && !rig.faces.empty());
  const Rig::Face& face = rig.faces.back();
  REQUIRE(face.frame_width == width && face.frame_height == height && (face.track == 0 || face.track == 1));
  // Either half, and in the middle of it.
  const double middle = (face.left + face.right) / 2;
  REQUIRE(std::abs(middle - width / 4.0) < 10 || std::abs(middle - 3 * width / 4.0) < 10);
  REQUIRE(face.left < face.right && face.top < face.bottom && std::abs((face.top + face.bottom) / 2 - height / 2.0) < 24);
  REQUIRE(face.frontality > 0.25 && face.share > 0.4 && face.share <= 1);
}

void held_back_buffers_are_let_go(bool by_state) {
  Holder holder;
  std::atomic<int> num_pushed{0};
  {
    Rig rig("block", &holder);
    rig.set_dropping();
    constexpr int kMany = 60 * kFrameRateHz;
    std::thread pushing([&] { push_both(rig, 0, kMany, &num_pushed); });
    holder.wait_until_held();
    if (by_state) {
      // The state change waits for the thread that posts.
      std::thread releasing([&] { holder.release(); });
      REQUIRE(gst_element_set_state(rig.element(), GST_STATE_NULL) == GST_STATE_CHANGE_SUCCESS);
      releasing.join();
    } else {
      start_flush(rig);
    }
    pushing.join();
    REQUIRE(by_state || num_pushed < 2 * kMany);
    holder.release();
  }
}

void what_cannot_wait_is_dropped() {
  Holder holder;
  {
    Rig rig("drop-oldest", &holder);
    rig.set_dropping();
    std::thread pushing([&] { push_both(rig, 0, 30 * kFrameRateHz); });
    holder.wait_until_held();
    pushing.join();
    guint64 num_dropped = 0;
    g_object_get(rig.element(), "dropped", &num_dropped, nullptr);
    REQUIRE(num_dropped > 0);
    holder.release();
    // Known until the element starts again.
    guint64 kept = 0;
    REQUIRE(gst_element_set_state(rig.element(), GST_STATE_NULL) == GST_STATE_CHANGE_SUCCESS);
    g_object_get(rig.element(), "dropped", &kept, nullptr);
    REQUIRE(kept >= num_dropped);
    REQUIRE(gst_element_set_state(rig.element(), GST_STATE_PAUSED) == GST_STATE_CHANGE_SUCCESS);
    g_object_get(rig.element(), "dropped", &kept, nullptr);
    REQUIRE(kept == 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  bundle = argv[1];
  const int repetitions = num_rounds(argv[2]);
  gst_init(nullptr, nullptr);
  REQUIRE(GST_ELEMENT_REGISTER(cavsync, nullptr));
  buffers_pass_unchanged();
  events_and_latency_pass();
  streams_end_and_begin(2);
  report_memory("first rounds");
  streams_end_and_begin(repetitions);
  formats_may_change(repetitions);
  other_speeds_are_not_scored();
  messages_can_be_turned_off_and_thinned();
  events_begin_and_end(repetitions);
  held_back_buffers_are_let_go(false);
  held_back_buffers_are_let_go(true);
  what_cannot_wait_is_dropped();
  report_memory("all rounds");
  if (argc > 3) {
    bundle = argv[3];
    faces_are_posted();
  }
  gst_deinit();
  return 0;
}
