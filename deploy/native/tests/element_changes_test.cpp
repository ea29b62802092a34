// The element while things change: flushes, states and settings.
//   element_changes_test BUNDLE ROUNDS
#include <algorithm>
#include <chrono>

#include "element.h"
#include "element_rig.h"

namespace {

using namespace rig;

// Seeks while both tracks push.
void flushes_end_nothing(int repetitions) {
  Rig rig;
  rig.set_dropping();
  for (int round = 0; round < repetitions; ++round) {
    std::thread pushing([&] { push_both(rig, 0, 100); });
    // At another moment each time: while buffers are pushed, computed or held back.
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 10));
    start_flush(rig);
    pushing.join();
    stop_flush(rig);
  }
  push_both(rig, 0, 4 * kFrameRateHz);
  rig.push_event_to_both(gst_event_new_eos());
  REQUIRE(!rig.decisions().empty());
}

std::vector<Rig::Judgement> judgements_at_the_end(Rig& rig) {
  rig.judgements = {};
  rig.push_event_to_both(gst_event_new_eos());
  rig.decisions();
  return rig.judgements;
}

std::ptrdiff_t num_in_sync(const std::vector<Rig::Judgement>& judgements) {
  return std::count_if(judgements.begin(), judgements.end(), [](const auto& one) { return one.state == "in_sync"; });
}

// Two sources flush one after the other. What the first has pushed since its flush is judged with what the second pushes
// since its own; what the second pushed before is not.
void sources_flush_one_after_the_other(int repetitions) {
  Rig rig("block", nullptr, "whole");
  rig.set_dropping();
  push_both(rig, 0, 4 * kFrameRateHz);
  const std::vector<Rig::Judgement> wanted = judgements_at_the_end(rig);
  REQUIRE(num_in_sync(wanted) > 0);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  const auto flush = [&](GstHarness* harness) {
    REQUIRE(gst_harness_push_event(harness, gst_event_new_flush_start()));
    REQUIRE(gst_harness_push_event(harness, gst_event_new_flush_stop(TRUE)));
    REQUIRE(gst_harness_push_event(harness, gst_event_new_segment(&segment)));
  };
  const auto push = [](GstHarness* harness, GstBuffer* (*make)(int), int first, int end) {
    for (int number = first; number < end; ++number) REQUIRE(gst_harness_push(harness, make(number)) == GST_FLOW_OK);
  };
  for (int round = 0; round < repetitions; ++round) {
    start_flush(rig);
    stop_flush(rig);
    push_both(rig, 0, kFrameRateHz);
    const bool is_audio_first = round % 2 == 0;
    GstHarness *first = is_audio_first ? rig.audio : rig.video, *second = is_audio_first ? rig.video : rig.audio;
    GstBuffer* (*make_first)(int) = is_audio_first ? sound : picture;
    GstBuffer* (*make_second)(int) = is_audio_first ? picture : sound;
    flush(first);
    push(first, make_first, 0, 50);
    push(second, make_second, 25, 50);
    push(first, make_first, 50, 4 * kFrameRateHz);
    flush(second);
    push(second, make_second, 0, 4 * kFrameRateHz);
    const std::vector<Rig::Judgement> found = judgements_at_the_end(rig);
    REQUIRE(found.size() == wanted.size());
    for (std::size_t place = 0; place < found.size(); ++place) {
      REQUIRE(found[place].state == wanted[place].state && found[place].seconds == wanted[place].seconds);
      REQUIRE(std::abs(found[place].offset_ms - wanted[place].offset_ms) < 0.1);
    }
  }
}

// One source alone flushes: the other track is scored again soon.
void one_track_may_flush_alone() {
  Rig rig("block", nullptr, "whole");
  rig.set_dropping();
  push_both(rig, 0, kFrameRateHz);
  REQUIRE(gst_harness_push_event(rig.audio, gst_event_new_flush_start()));
  REQUIRE(gst_harness_push_event(rig.audio, gst_event_new_flush_stop(TRUE)));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  REQUIRE(gst_harness_push_event(rig.audio, gst_event_new_segment(&segment)));
  push_both(rig, kFrameRateHz, 15 * kFrameRateHz);
  REQUIRE(num_in_sync(judgements_at_the_end(rig)) > 0);
}

void states_change(int repetitions) {
  Rig rig;
  rig.set_dropping();
  for (int round = 0; round < repetitions; ++round) {
    const GstState lowest = round % 10 == 0 ? GST_STATE_NULL : round % 3 == 0 ? GST_STATE_PAUSED : GST_STATE_READY;
    std::thread pushing([&] { push_both(rig, 0, 100); });
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 10));
    REQUIRE(gst_element_set_state(rig.element(), lowest) == GST_STATE_CHANGE_SUCCESS);
    pushing.join();
    REQUIRE(gst_element_set_state(rig.element(), GST_STATE_PLAYING) == GST_STATE_CHANGE_SUCCESS);
    if (lowest != GST_STATE_PAUSED) begin_stream(rig);
  }
  begin_stream(rig);
  push_both(rig, 0, 4 * kFrameRateHz);
  rig.push_event_to_both(gst_event_new_eos());
  REQUIRE(!rig.decisions().empty());
}

// Where the pads cannot be opened, nothing is left of the start.
void a_failed_start_is_undone() {
  GstElement* element = gst_element_factory_make("cavsync", nullptr);
  g_object_set(element, "bundle", bundle.c_str(), nullptr);
  GstPad* pad = gst_element_get_static_pad(element, "video_sink");
  gst_pad_set_activate_function(pad, [](GstPad*, GstObject*) -> gboolean { return FALSE; });
  REQUIRE(gst_element_set_state(element, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
  REQUIRE(gst_cavsync_analysis(reinterpret_cast<GstCavsync*>(element)) == nullptr);
  gst_element_set_state(element, GST_STATE_NULL);
  gst_object_unref(pad);
  gst_object_unref(element);
}

// Names of settings are texts, which another thread may replace while they are read.
void settings_may_change_at_any_time(int repetitions) {
  Rig rig;
  std::atomic<bool> is_over{false};
  std::thread setting([&] {
    for (int number = 0; !is_over; ++number) {
      g_object_set(rig.element(), "profile", number % 2 == 0 ? "ebu-r37" : "itu-bt1359-accept", "bundle",
                   bundle.c_str(), "threads", number % 2, nullptr);
    }
  });
  for (int round = 0; round < repetitions; ++round) {
    REQUIRE(gst_element_set_state(rig.element(), GST_STATE_READY) == GST_STATE_CHANGE_SUCCESS);
    REQUIRE(gst_element_set_state(rig.element(), GST_STATE_PLAYING) == GST_STATE_CHANGE_SUCCESS);
  }
  is_over = true;
  setting.join();
}

void wrong_settings_are_errors() {
  for (const char* path : {"", "/no/such/bundle", bundle.c_str()}) {
    GstElement* element = gst_element_factory_make("cavsync", nullptr);
    GstBus* bus = gst_bus_new();
    gst_element_set_bus(element, bus);
    g_object_set(element, "bundle", path, "profile", "no-such", nullptr);
    REQUIRE(gst_element_set_state(element, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    REQUIRE(message != nullptr);
    gst_message_unref(message);
    gst_element_set_state(element, GST_STATE_NULL);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(bus);
    gst_object_unref(element);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  bundle = argv[1];
  const int repetitions = num_rounds(argv[2]);
  gst_init(nullptr, nullptr);
  REQUIRE(GST_ELEMENT_REGISTER(cavsync, nullptr));
  flushes_end_nothing(2);
  report_memory("first rounds");
  flushes_end_nothing(repetitions);
  sources_flush_one_after_the_other(repetitions);
  one_track_may_flush_alone();
  states_change(repetitions);
  settings_may_change_at_any_time(repetitions);
  a_failed_start_is_undone();
  wrong_settings_are_errors();
  report_memory("all rounds");
  gst_deinit();
  return 0;
}
