// The element between harnesses of GStreamer's test library, and what is pushed through it.
#pragma once

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rig {

constexpr int kSide = 32, kRateHz = 16'000, kFrameRateHz = 25, kSamples = kRateHz / kFrameRateHz;
constexpr double kUnknown = 1e9;
constexpr GstClockTime kPeriod = GST_SECOND / kFrameRateHz;
constexpr const char* kGrey = "video/x-raw,format=GRAY8,width=32,height=32,framerate=25/1";
constexpr const char* kMono = "audio/x-raw,format=F32LE,layout=interleaved,rate=16000,channels=1";

inline std::string bundle;

inline void fail(const char* expression, int line) {
  std::fprintf(stderr, "line %d: %s does not hold\n", line, expression);
  std::exit(1);
}
#define REQUIRE(expression) \
  if (!(expression)) fail(#expression, __LINE__)

// A number of rounds: the environment variable CAVSYNC_NATIVE_ROUNDS, or else the argument.
inline int num_rounds(const char* argument) {
  const char* given = std::getenv("CAVSYNC_NATIVE_ROUNDS");
  const int rounds = std::atoi(given != nullptr ? given : argument);
  REQUIRE(rounds > 0);
  return rounds;
}

// Write how much memory the process has; return how much is allocated.
inline double report_memory(const std::string& when) {
  constexpr double kMebibyte = 1024 * 1024;
  const struct mallinfo2 info = mallinfo2();
  const double allocated = static_cast<double>(info.uordblks + info.hblkhd) / kMebibyte;
  std::ifstream pages("/proc/self/statm");
  double total = 0, resident = 0;
  pages >> total >> resident;
  resident *= static_cast<double>(sysconf(_SC_PAGESIZE)) / kMebibyte;
  std::printf("%s: %.1f MiB allocated, %.1f MiB resident\n", when.c_str(), allocated, resident);
  std::fflush(stdout);
  return allocated;
}

// Holds the thread that posts the first decision until it is released.
class Holder {
 public:
  static GstBusSyncReply hold(GstBus*, GstMessage* message, gpointer self) {
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT) static_cast<Holder*>(self)->wait_for_release();
    return GST_BUS_PASS;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    is_released_ = true;
    changed_.notify_all();
  }
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_held_; });
  }

 private:
  void wait_for_release() {
    std::unique_lock lock(mutex_);
    is_held_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_released_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false, is_released_ = false;
};

// The element, with a harness for each track.
class Rig {
 public:
  explicit Rig(const char* policy = "block", Holder* holder = nullptr, const char* path = "auto", int begin_after = 2)
      : element_(gst_element_factory_make("cavsync", nullptr)), bus_(gst_bus_new()) {
    g_object_set(element_, "bundle", bundle.c_str(), "begin-after", begin_after, nullptr);
    gst_util_set_object_arg(G_OBJECT(element_), "path", path);
    gst_util_set_object_arg(G_OBJECT(element_), "policy", policy);
    gst_element_set_bus(element_, bus_);
    if (holder != nullptr) gst_bus_set_sync_handler(bus_, Holder::hold, holder, nullptr);
    audio = gst_harness_new_with_element(element_, "audio_sink", "audio_src");
    video = gst_harness_new_with_element(element_, "video_sink", "video_src");
    gst_harness_set_src_caps_str(audio, kMono);
    gst_harness_set_src_caps_str(video, kGrey);
  }
  ~Rig() {
    gst_harness_teardown(audio);
    gst_harness_teardown(video);
    gst_element_set_bus(element_, nullptr);
    gst_object_unref(bus_);
    gst_object_unref(element_);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  GstElement* element() { return element_; }
  // Take the decisions posted so far; events and faces are kept.
  std::vector<double> decisions() {
    std::vector<double> times;
    while (GstMessage* message = gst_bus_pop_filtered(bus_, GST_MESSAGE_ELEMENT)) {
      double seconds = -1;
      const GstStructure* structure = gst_message_get_structure(message);
      if (gst_structure_has_name(structure, "cavsync-event")) {
        add_event(structure);
      } else {
        REQUIRE(gst_structure_has_name(structure, "cavsync"));
        REQUIRE(gst_structure_get_double(structure, "time_seconds", &seconds));
        times.push_back(seconds);
        Judgement judgement{gst_structure_get_string(structure, "state"), seconds, kUnknown};
        gst_structure_get_double(structure, "audio_offset_ms", &judgement.offset_ms);
        judgements.push_back(judgement);
        add_face(structure);
      }
      gst_message_unref(message);
    }
    return times;
  }
  bool has_message(GstMessageType type) {
    GstMessage* message = gst_bus_pop_filtered(bus_, type);
    if (message != nullptr) gst_message_unref(message);
    return message != nullptr;
  }
  void set_dropping() {
    gst_harness_set_drop_buffers(audio, TRUE);
    gst_harness_set_drop_buffers(video, TRUE);
  }
  void push_event_to_both(GstEvent* event) {
    REQUIRE(gst_harness_push_event(audio, gst_event_ref(event)));
    REQUIRE(gst_harness_push_event(video, event));
  }

  struct Event {
    std::string phase, cause;
    double start, end;
    GstClockTime stream_time, running_time, duration;
  };

  GstHarness* audio = nullptr;
  GstHarness* video = nullptr;
  std::vector<Event> events;
  struct Judgement {
    std::string state;
    double seconds, offset_ms;
  };
  // What the decisions taken so far say.
  std::vector<Judgement> judgements;
  struct Face {
    int track, frame_width, frame_height;
    double left, top, right, bottom, frontality, share;
  };
  std::vector<Face> faces;

 private:
  void add_face(const GstStructure* structure) {
    GstStructure* found = nullptr;
    if (!gst_structure_get(structure, "face", GST_TYPE_STRUCTURE, &found, nullptr)) return;
    Face face{};
    REQUIRE(gst_structure_get(found, "track", G_TYPE_INT, &face.track, "frame_width", G_TYPE_INT, &face.frame_width,
                              "frame_height", G_TYPE_INT, &face.frame_height, "left", G_TYPE_DOUBLE, &face.left, "top",
                              G_TYPE_DOUBLE, &face.top, "right", G_TYPE_DOUBLE, &face.right, "bottom", G_TYPE_DOUBLE,
                              &face.bottom, "frontality", G_TYPE_DOUBLE, &face.frontality, "share", G_TYPE_DOUBLE,
                              &face.share, nullptr));
    REQUIRE(gst_structure_has_field_typed(found, "presence", G_TYPE_DOUBLE));
    REQUIRE(gst_structure_has_field_typed(found, "eye_distance_px", G_TYPE_DOUBLE));
    REQUIRE(gst_structure_has_field_typed(found, "opening_range", G_TYPE_DOUBLE));
    gst_structure_free(found);
    faces.push_back(face);
  }
  void add_event(const GstStructure* structure) {
    const char* cause = gst_structure_get_string(structure, "cause");
    Event event{gst_structure_get_string(structure, "phase"), cause == nullptr ? "" : cause, -1, -1, 0, 0, 0};
    REQUIRE(gst_structure_get_double(structure, "start", &event.start));
    REQUIRE(gst_structure_get_double(structure, "end", &event.end) == (event.phase == "ended"));
    REQUIRE(gst_structure_get_clock_time(structure, "stream-time", &event.stream_time));
    REQUIRE(gst_structure_get_clock_time(structure, "running-time", &event.running_time));
    REQUIRE(gst_structure_get_clock_time(structure, "duration", &event.duration));
    events.push_back(event);
  }

  GstElement* element_;
  GstBus* bus_;
};

inline GstBuffer* stamped(GstBuffer* buffer, int number) {
  GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(number) * kPeriod;
  GST_BUFFER_DURATION(buffer) = kPeriod;
  return buffer;
}

// Light and loudness that change at random moments.
inline double loudness(int number) {
  const double place = std::sin(12.9898 * std::floor(number / 5.0)) * 43758.5453;
  return place - std::floor(place);
}

inline GstBuffer* picture(int number) {
  GstBuffer* buffer = gst_buffer_new_allocate(nullptr, kSide * kSide, nullptr);
  gst_buffer_memset(buffer, 0, static_cast<guint8>(255 * loudness(number)), kSide * kSide);
  return stamped(buffer, number);
}

inline GstBuffer* sound(int number) {
  std::vector<float> samples(kSamples);
  for (int place = 0; place < kSamples; ++place) {
    samples[static_cast<std::size_t>(place)] = static_cast<float>(0.5 * loudness(number) * std::sin(0.4 * place));
  }
  GstBuffer* buffer = gst_buffer_new_allocate(nullptr, samples.size() * sizeof(float), nullptr);
  gst_buffer_fill(buffer, 0, samples.data(), samples.size() * sizeof(float));
  return stamped(buffer, number);
}

// A third of a second late.
inline GstBuffer* late_sound(int number) { return stamped(sound(number - 8), number); }

// Push the pieces from `first` on, the tracks from threads of their own, until `end` or a pad flushes.
inline void push_both(Rig& rig, int first, int end, std::atomic<int>* num_pushed = nullptr,
                      GstBuffer* (*make_sound)(int) = sound) {
  const auto push = [=](GstHarness* harness, GstBuffer* (*make)(int)) {
    for (int number = first; number < end; ++number) {
      if (gst_harness_push(harness, make(number)) != GST_FLOW_OK) return;
      if (num_pushed != nullptr) ++*num_pushed;
    }
  };
  std::thread frames(push, rig.video, picture);
  push(rig.audio, make_sound);
  frames.join();
}

inline void begin_segment(Rig& rig, double rate = 1.0) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.rate = rate;
  rig.push_event_to_both(gst_event_new_segment(&segment));
}

inline void start_flush(Rig& rig) { rig.push_event_to_both(gst_event_new_flush_start()); }

inline void stop_flush(Rig& rig) {
  rig.push_event_to_both(gst_event_new_flush_stop(TRUE));
  begin_segment(rig);
}

inline void begin_stream(Rig& rig) {
  rig.push_event_to_both(gst_event_new_stream_start("next"));
  gst_harness_set_src_caps_str(rig.audio, kMono);
  gst_harness_set_src_caps_str(rig.video, kGrey);
  begin_segment(rig);
}

}  // namespace rig
