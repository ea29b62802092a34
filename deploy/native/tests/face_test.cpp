// The face path from end to end, with a bundle whose faces are mouths as open as halves of the picture are bright: a
// speaking and a silent face, a cut, a face lost, a clock set back. Sanitizers look at it.
//   face_test BUNDLE
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cavsync.h"

namespace {

constexpr double kFrameSeconds = 0.04, kLateSeconds = 0.2;
// Large enough for squares that are reduced before they are sampled.
constexpr int kWidth = 1'440, kHeight = 720, kFrames = 80;

void fail(const char* expression, int line) {
  std::fprintf(stderr, "line %d: %s does not hold; last error: %s\n", line, expression, cavsync_last_error());
  std::exit(1);
}
#define REQUIRE(expression) \
  if (!(expression)) fail(#expression, __LINE__)

// An irregular course from 0 to 1.
double course(double seconds) {
  return 0.5 + 0.5 * std::tanh(std::sin(7.1 * seconds) + std::sin(11.3 * seconds + 1) + std::sin(17.9 * seconds + 2));
}

// The left half speaks, the right half keeps its mouth closed; black where no face is.
void push_frame(cavsync_scorer* scorer, double seconds, bool has_face) {
  const double speaking = has_face ? 255 * (0.1 + 0.2 * course(seconds)) : 0.0;
  std::vector<std::uint8_t> pixels(std::size_t{kWidth} * kHeight, static_cast<std::uint8_t>(std::lround(speaking)));
  const auto closed = static_cast<std::uint8_t>(has_face ? 26 : 0);
  for (std::size_t place = 0; place < pixels.size(); ++place) {
    if (place % kWidth >= kWidth / 2) pixels[place] = closed;
  }
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.format = CAVSYNC_GRAY8;
  frame.width = frame.strides[0] = kWidth;
  frame.height = kHeight;
  frame.planes[0] = pixels.data();
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, seconds) == CAVSYNC_OK);
}

// From -50 to -10 dBFS, as loud as the mouth was open `kLateSeconds` before.
void push_sound(cavsync_scorer* scorer, double seconds) {
  constexpr std::size_t count = 640;
  std::vector<float> samples(count);
  for (std::size_t place = 0; place < count; ++place) {
    const double time = seconds + static_cast<double>(place) / 16'000;
    const double decibels = -50 + 40 * course(time - kLateSeconds);
    samples[place] = static_cast<float>(std::pow(10, decibels / 20) * (place % 2 == 0 ? 1 : -1));
  }
  REQUIRE(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_F32, count, 1, 16'000, seconds) == CAVSYNC_OK);
}

// The left half speaks, so that its face is the one that is judged.
bool is_left_face(const cavsync_face& face) {
  return face.track >= 0 && face.frame_width == kWidth && face.frame_height == kHeight && face.left < face.right &&
         face.top < face.bottom && face.right < kWidth / 2.0 && face.share > 0.4 && face.opening_range > 0.04;
}

std::vector<cavsync_record> decisions(cavsync_scorer* scorer) {
  std::vector<cavsync_record> found(64);
  std::vector<cavsync_face> faces(64);
  std::size_t count = 0;
  REQUIRE(cavsync_scorer_process_faces(scorer, found.data(), nullptr, 1, &count) == CAVSYNC_ERROR_ARGUMENT);
  REQUIRE(cavsync_scorer_process_faces(scorer, found.data(), faces.data(), found.size(), &count) == CAVSYNC_OK);
  found.resize(count);
  for (std::size_t place = 0; place < count; ++place) {
    REQUIRE(found[place].is_measured == 0 || is_left_face(faces[place]));
  }
  return found;
}

std::vector<cavsync_record> scored(cavsync_scorer* scorer, double start_seconds, bool has_face) {
  std::vector<cavsync_record> all;
  for (int number = 0; number < kFrames; ++number) {
    const double seconds = start_seconds + number * kFrameSeconds;
    push_frame(scorer, seconds, has_face);
    push_sound(scorer, seconds);
    if (number % 10 == 0) {
      const std::vector<cavsync_record> found = decisions(scorer);
      all.insert(all.end(), found.begin(), found.end());
    }
  }
  return all;
}

void finish(cavsync_scorer* scorer, std::vector<cavsync_record>& records) {
  REQUIRE(cavsync_scorer_flush(scorer) == CAVSYNC_OK);
  const std::vector<cavsync_record> rest = decisions(scorer);
  records.insert(records.end(), rest.begin(), rest.end());
}

bool is_late(const cavsync_record& record) {
  return record.is_measured == 1 && record.path == CAVSYNC_PATH_FACE && record.state == CAVSYNC_AUDIO_LATE &&
         std::abs(record.audio_offset_ms + 1000 * kLateSeconds) < 15;
}

void judge(const cavsync_bundle* bundle, cavsync_path path) {
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = path;
  options.profile = "ebu-r37";
  options.keeps_summary = options.follows_events = 1;
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  std::vector<cavsync_record> records = scored(scorer, 0, true);
  finish(scorer, records);
  REQUIRE(records.size() == 3);
  for (const cavsync_record& record : records) REQUIRE(is_late(record));
  cavsync_summary summary;
  cavsync_summary_init(&summary);
  REQUIRE(cavsync_scorer_summarise(scorer, &summary, nullptr, 0) == CAVSYNC_OK);
  cavsync_event_change changes[4];
  std::size_t count = 0;
  REQUIRE(cavsync_scorer_take_events(scorer, changes, 4, &count) == CAVSYNC_OK && count == 2);
  REQUIRE(changes[0].phase == CAVSYNC_EVENT_BEGAN && changes[0].event.cause == CAVSYNC_CAUSE_NONE);
  REQUIRE(changes[0].event.start_seconds == records[0].time_seconds && std::isnan(changes[0].event.end_seconds));
  REQUIRE(changes[1].phase == CAVSYNC_EVENT_ENDED && changes[1].event.cause == CAVSYNC_CAUSE_STREAM_ENDED);
  REQUIRE(changes[1].event.end_seconds == records[2].time_seconds);
  REQUIRE(is_left_face(summary.face));
  REQUIRE(is_late(summary.score) && summary.num_faces == 2 && summary.face_share == 1);
  cavsync_scorer_destroy(scorer);
}

// The faces leave when the clock is set back, so that these windows have none.
void judge_until_they_leave(const cavsync_bundle* bundle) {
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, nullptr, &scorer) == CAVSYNC_OK);
  std::vector<cavsync_record> records = scored(scorer, 100, true);
  const std::vector<cavsync_record> without = scored(scorer, 0, false);
  records.insert(records.end(), without.begin(), without.end());
  finish(scorer, records);
  REQUIRE(is_late(records.front()) && records.back().state == CAVSYNC_UNDETERMINED);
  cavsync_scorer_destroy(scorer);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  cavsync_bundle_options engine;
  cavsync_bundle_options_init(&engine);
  engine.threads = 1;
  cavsync_bundle* bundle = nullptr;
  REQUIRE(cavsync_bundle_open(argv[1], &engine, &bundle) == CAVSYNC_OK);
  judge(bundle, CAVSYNC_PATH_AUTO);
  judge(bundle, CAVSYNC_PATH_FACE);
  judge_until_they_leave(bundle);
  cavsync_bundle_close(bundle);
  return 0;
}
