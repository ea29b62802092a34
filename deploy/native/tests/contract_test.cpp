// What cavsync.h promises about results after an error, about structures of other versions, and about formats and limits.
//   contract_test BUNDLE
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cavsync.h"
#include "require.h"

// In any_format.c, because no value of an enumeration of C++ may be another than those it can hold.
extern "C" cavsync_status push_sample_of_format(cavsync_scorer* scorer, int format);

namespace {

// What no function may leave behind.
template <class Handle>
Handle* unset() {
  static char memory = 0;
  return reinterpret_cast<Handle*>(&memory);
}
constexpr std::size_t kUnset = 77;

cavsync_options whole_options() {
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = CAVSYNC_PATH_WHOLE;
  return options;
}

void results_are_cleared(const cavsync_bundle* bundle, cavsync_scorer* scorer) {
  cavsync_bundle* opened = unset<cavsync_bundle>();
  REQUIRE(cavsync_bundle_open(nullptr, nullptr, &opened) == CAVSYNC_ERROR_ARGUMENT && opened == nullptr);
  cavsync_scorer* made = unset<cavsync_scorer>();
  REQUIRE(cavsync_scorer_create(nullptr, nullptr, &made) == CAVSYNC_ERROR_ARGUMENT && made == nullptr);
  made = unset<cavsync_scorer>();
  cavsync_options options = whole_options();
  options.hop_ms = 15;
  REQUIRE(cavsync_scorer_create(bundle, &options, &made) == CAVSYNC_ERROR_CONFIG && made == nullptr);
  REQUIRE(cavsync_bundle_open(nullptr, nullptr, nullptr) == CAVSYNC_ERROR_ARGUMENT && says("null"));
  std::size_t count = kUnset;
  REQUIRE(cavsync_scorer_process(nullptr, nullptr, 0, &count) == CAVSYNC_ERROR_ARGUMENT && count == 0);
  count = kUnset;
  REQUIRE(cavsync_scorer_process(scorer, nullptr, 1, &count) == CAVSYNC_ERROR_ARGUMENT && count == 0);
  count = kUnset;
  REQUIRE(cavsync_scorer_process_faces(nullptr, nullptr, nullptr, 0, &count) == CAVSYNC_ERROR_ARGUMENT && count == 0);
  count = kUnset;
  REQUIRE(cavsync_scorer_take_events(nullptr, nullptr, 0, &count) == CAVSYNC_ERROR_ARGUMENT && count == 0);
  count = kUnset;
  REQUIRE(cavsync_scorer_drop_oldest(nullptr, 1, &count) == CAVSYNC_ERROR_ARGUMENT && count == 0);
}

// A structure as the header of a later version has it: with one more field.
template <class Structure>
struct Newer {
  Structure known;
  std::int64_t more;
};

void later_options_are_refused(const cavsync_bundle* bundle, const char* path) {
  Newer<cavsync_options> options;
  cavsync_options_init_sized(&options.known, sizeof options);
  REQUIRE(options.known.size == sizeof options && options.more == 0);
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options.known, &scorer) == CAVSYNC_OK);
  cavsync_scorer_destroy(scorer);
  options.more = std::int64_t{1} << 56;
  REQUIRE(cavsync_scorer_create(bundle, &options.known, &scorer) == CAVSYNC_ERROR_CONFIG && says("newer libcavsync"));
  REQUIRE(scorer == nullptr);
  // A size that was never set is not read to its end.
  options.known.size = std::numeric_limits<std::size_t>::max();
  REQUIRE(cavsync_scorer_create(bundle, &options.known, &scorer) == CAVSYNC_ERROR_ARGUMENT && says("size"));
  Newer<cavsync_bundle_options> engine;
  cavsync_bundle_options_init_sized(&engine.known, sizeof engine);
  cavsync_bundle* opened = nullptr;
  REQUIRE(cavsync_bundle_open(path, &engine.known, &opened) == CAVSYNC_OK);
  cavsync_bundle_close(opened);
  engine.more = 1;
  REQUIRE(cavsync_bundle_open(path, &engine.known, &opened) == CAVSYNC_ERROR_CONFIG && says("newer libcavsync"));
  REQUIRE(opened == nullptr);
}

void later_frames_are_refused(cavsync_scorer* scorer) {
  const std::vector<std::uint8_t> pixels(16 * 16);
  Newer<cavsync_frame> frame{};
  cavsync_frame_init(&frame.known);
  frame.known.size = sizeof frame;
  frame.known.format = CAVSYNC_GRAY8;
  frame.known.width = frame.known.height = frame.known.strides[0] = 16;
  frame.known.planes[0] = pixels.data();
  REQUIRE(cavsync_scorer_push_video(scorer, &frame.known, 0) == CAVSYNC_OK);
  frame.more = 1;
  REQUIRE(cavsync_scorer_push_video(scorer, &frame.known, 1) == CAVSYNC_ERROR_CONFIG && says("newer libcavsync"));
}

// What a later version adds to a result is left alone.
void later_results_are_filled(const cavsync_bundle* bundle) {
  Newer<cavsync_bundle_info> info;
  cavsync_bundle_info_init_sized(&info.known, sizeof info);
  info.more = 5;
  REQUIRE(cavsync_bundle_describe(bundle, &info.known) == CAVSYNC_OK);
  REQUIRE(info.known.size == sizeof info && info.more == 5 && info.known.window_seconds > 0);
}

// C programs can pass any number.
template <class Enumeration>
void set(Enumeration& target, int number) {
  static_assert(sizeof target == sizeof number);
  std::memcpy(&target, &number, sizeof number);
}

void formats_are_checked(const cavsync_bundle* bundle, cavsync_scorer* scorer) {
  const std::vector<std::uint8_t> pixels(3 * 16 * 16);
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.width = frame.height = 16;
  for (int plane = 0; plane < 3; ++plane) {
    frame.planes[plane] = pixels.data();
    frame.strides[plane] = 48;
  }
  set(frame.format, 1'000);
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 2) == CAVSYNC_ERROR_ARGUMENT && says("pixel format"));
  frame.format = CAVSYNC_YUV420P;
  set(frame.yuv_matrix, -1);
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 2) == CAVSYNC_ERROR_ARGUMENT && says("YUV matrix"));
  frame.yuv_matrix = CAVSYNC_YUV_BT709;
  frame.strides[2] = -48;
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 2) == CAVSYNC_ERROR_MEDIA && says("plane 2"));
  REQUIRE(push_sample_of_format(scorer, 1'000) == CAVSYNC_ERROR_ARGUMENT && says("sample format"));
  cavsync_options options = whole_options();
  set(options.path, 1'000);
  cavsync_scorer* made = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &made) == CAVSYNC_ERROR_CONFIG && says("path is unknown"));
}

// Half of an odd number of columns and rows is rounded up.
void odd_sizes_need_whole_colours(cavsync_scorer* scorer) {
  const std::vector<std::uint8_t> pixels(17 * 17, 128);
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.format = CAVSYNC_YUV420P;
  frame.width = frame.height = 17;
  for (int plane = 0; plane < 3; ++plane) {
    frame.planes[plane] = pixels.data();
    frame.strides[plane] = plane == 0 ? 17 : 9;
  }
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 3) == CAVSYNC_OK);
  frame.strides[1] = 8;
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 4) == CAVSYNC_ERROR_MEDIA && says("at least 9"));
}

void rules_of_events_need_events(const cavsync_bundle* bundle) {
  cavsync_scorer* scorer = nullptr;
  cavsync_options options = whole_options();
  options.begin_after = 4;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("follows_events"));
  options.begin_after = 0;
  options.end_after = 1;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("follows_events"));
  options.follows_events = 1;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  cavsync_scorer_destroy(scorer);
}

void threads_are_limited(const char* path) {
  cavsync_bundle_options options;
  cavsync_bundle_options_init(&options);
  cavsync_bundle* bundle = nullptr;
  for (const int threads : {-1, 1'025, 2'000'000'000}) {
    options.threads = threads;
    REQUIRE(cavsync_bundle_open(path, &options, &bundle) == CAVSYNC_ERROR_CONFIG && says("give 0 to 1024"));
  }
}

// At 1 kHz a piece becomes sixteen times as long.
void long_pieces_are_refused(cavsync_scorer* scorer) {
  const std::size_t limit = (std::size_t{1} << 27) / 16;
  const std::vector<std::int16_t> samples(limit + 1);
  REQUIRE(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_S16, samples.size(), 1, 1'000, 0) ==
              CAVSYNC_ERROR_MEDIA &&
          says("at most 8388608"));
  for (const int rate_hz : {999, 768'001}) {
    REQUIRE(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_S16, 10, 1, rate_hz, 0) == CAVSYNC_ERROR_MEDIA);
  }
  REQUIRE(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_S16, 10, 1'025, 1'000, 0) == CAVSYNC_ERROR_MEDIA);
  REQUIRE(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_S16, 10, 1'024, 1'000, 0) == CAVSYNC_OK);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  cavsync_bundle* bundle = nullptr;
  REQUIRE(cavsync_bundle_open(argv[1], nullptr, &bundle) == CAVSYNC_OK);
  const cavsync_options options = whole_options();
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  results_are_cleared(bundle, scorer);
  later_options_are_refused(bundle, argv[1]);
  later_frames_are_refused(scorer);
  later_results_are_filled(bundle);
  formats_are_checked(bundle, scorer);
  odd_sizes_need_whole_colours(scorer);
  rules_of_events_need_events(bundle);
  threads_are_limited(argv[1]);
  long_pieces_are_refused(scorer);
  cavsync_scorer_destroy(scorer);
  cavsync_bundle_close(bundle);
  return 0;
}
