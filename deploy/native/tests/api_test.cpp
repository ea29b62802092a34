// The C interface: statuses and sentences of errors, ownership, limits of what may wait.
//   api_test BUNDLE FOLDER
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "cavsync.h"

namespace {

namespace fs = std::filesystem;

void fail(const char* expression, int line) {
  std::fprintf(stderr, "line %d: %s does not hold; last error: %s\n", line, expression, cavsync_last_error());
  std::exit(1);
}
#define REQUIRE(expression) \
  if (!(expression)) fail(#expression, __LINE__)

bool says(const char* words) { return std::strstr(cavsync_last_error(), words) != nullptr; }

cavsync_bundle* opened(const std::string& path) {
  cavsync_bundle* bundle = nullptr;
  REQUIRE(cavsync_bundle_open(path.c_str(), nullptr, &bundle) == CAVSYNC_OK);
  return bundle;
}

cavsync_options whole_options() {
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = CAVSYNC_PATH_WHOLE;
  options.keeps_summary = 1;
  return options;
}

cavsync_scorer* scorer_of(const cavsync_bundle* bundle) {
  const cavsync_options options = whole_options();
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  return scorer;
}

cavsync_status push_grey(cavsync_scorer* scorer, int side, double seconds) {
  const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(side) * static_cast<std::size_t>(side), 128);
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.format = CAVSYNC_GRAY8;
  frame.width = frame.height = frame.strides[0] = side;
  frame.planes[0] = pixels.data();
  return cavsync_scorer_push_video(scorer, &frame, seconds);
}

cavsync_status push_value(cavsync_scorer* scorer, float value, std::size_t count, double seconds) {
  const std::vector<float> samples(count, value);
  return cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_F32, count, 1, 16'000, seconds);
}

void bundles_are_checked(const std::string& path, const fs::path& folder) {
  cavsync_bundle* bundle = nullptr;
  REQUIRE(cavsync_bundle_open(nullptr, nullptr, &bundle) == CAVSYNC_ERROR_ARGUMENT);
  REQUIRE(cavsync_bundle_open("/no/such/folder", nullptr, &bundle) == CAVSYNC_ERROR_BUNDLE && says("does not exist"));
  cavsync_bundle_options options;
  cavsync_bundle_options_init(&options);
  options.provider = "no-such";
  REQUIRE(cavsync_bundle_open(path.c_str(), &options, &bundle) == CAVSYNC_ERROR_CONFIG && says("no-such"));
  options.provider = nullptr;
  options.size -= 1;
  REQUIRE(cavsync_bundle_open(path.c_str(), &options, &bundle) == CAVSYNC_OK);
  cavsync_bundle_close(bundle);
  options.size = offsetof(cavsync_bundle_options, engine) - 1;
  REQUIRE(cavsync_bundle_open(path.c_str(), &options, &bundle) == CAVSYNC_ERROR_ARGUMENT && says("size"));
  const fs::path changed = folder / "changed_bundle";
  fs::remove_all(changed);
  fs::copy(path, changed);
  std::ofstream(changed / "audio_encoder.onnx", std::ios::in | std::ios::out | std::ios::binary).seekp(1000).put('?');
  REQUIRE(cavsync_bundle_open(changed.c_str(), nullptr, &bundle) == CAVSYNC_ERROR_BUNDLE &&
          says("differs from the hash"));
  fs::remove(changed / "manifest.json");
  fs::create_symlink(fs::path(path) / "manifest.json", changed / "manifest.json");
  REQUIRE(cavsync_bundle_open(changed.c_str(), nullptr, &bundle) == CAVSYNC_ERROR_BUNDLE && says("plain files only"));
  fs::remove(changed / "manifest.json");
  std::ofstream(changed / "manifest.json") << "{\"name\": \"a\", \"name\": \"b\"}";
  REQUIRE(cavsync_bundle_open(changed.c_str(), nullptr, &bundle) == CAVSYNC_ERROR_BUNDLE && says("twice"));
  std::ofstream(changed / "manifest.json") << std::string(100'000, '[');
  REQUIRE(cavsync_bundle_open(changed.c_str(), nullptr, &bundle) == CAVSYNC_ERROR_BUNDLE && says("deep"));
  REQUIRE(bundle == nullptr);
  fs::remove_all(changed);
}

bool has_engine(const char* wanted) {
  for (std::size_t number = 0; const char* name = cavsync_engine_name(number); ++number) {
    if (std::strcmp(name, wanted) == 0) return true;
  }
  return false;
}

bool has_provider(const char* wanted) {
  for (std::size_t number = 0; const char* name = cavsync_provider_name(number); ++number) {
    if (std::strcmp(name, wanted) == 0) return true;
  }
  return false;
}

// Open with an engine and a provider, either of which may be null; the thread's last error is that of this call.
cavsync_status opened_with(const std::string& path, const char* engine, const char* provider, std::string& found) {
  cavsync_bundle_options options;
  cavsync_bundle_options_init(&options);
  options.engine = engine;
  options.provider = provider;
  cavsync_bundle* bundle = nullptr;
  const cavsync_status status = cavsync_bundle_open(path.c_str(), &options, &bundle);
  REQUIRE((bundle != nullptr) == (status == CAVSYNC_OK));
  if (status != CAVSYNC_OK) return status;
  cavsync_bundle_info info;
  cavsync_bundle_info_init(&info);
  REQUIRE(cavsync_bundle_describe(bundle, &info) == CAVSYNC_OK);
  found = std::string(info.engine) + " " + info.provider;
  cavsync_bundle_close(bundle);
  return status;
}

void engines_are_chosen_by_name(const std::string& path) {
  REQUIRE(std::strcmp(cavsync_engine_name(0), "onnxruntime") == 0 && cavsync_engine_name(10) == nullptr);
  REQUIRE(std::strcmp(cavsync_engine_version(0), cavsync_runtime_version()) == 0);
  REQUIRE(cavsync_engine_version(10) == nullptr && has_provider("cpu") && !has_provider("no-such"));
  std::string found;
  for (const char* engine : {static_cast<const char*>(nullptr), "onnxruntime", "onnxruntime:fp32", "auto"}) {
    REQUIRE(opened_with(path, engine, nullptr, found) == CAVSYNC_OK && found == "onnxruntime:fp32 cpu");
  }
  REQUIRE(opened_with(path, nullptr, "CPUExecutionProvider", found) == CAVSYNC_OK && found == "onnxruntime:fp32 cpu");
  REQUIRE(opened_with(path, "no-such", nullptr, found) == CAVSYNC_ERROR_CONFIG && says("engine no-such is not known"));
  REQUIRE(opened_with(path, "auto:fp32", nullptr, found) == CAVSYNC_ERROR_CONFIG && says("is not known"));
  REQUIRE(opened_with(path, "tensorrt", nullptr, found) == CAVSYNC_ERROR_CONFIG && says("provider tensorrt"));
  REQUIRE(opened_with(path, "onnxruntime:int8", nullptr, found) == CAVSYNC_ERROR_CONFIG &&
          says("has no onnxruntime:int8 engine of every encoder, it has onnxruntime:fp32"));
  for (const char* provider : {"cuda", "tensorrt"}) {
    if (has_provider(provider)) continue;
    REQUIRE(opened_with(path, nullptr, provider, found) == CAVSYNC_ERROR_CONFIG && says(provider) &&
            says("is not available, this ONNX Runtime") && says("has cpu"));
  }
  if (!has_engine("openvino")) {
    REQUIRE(opened_with(path, "openvino", nullptr, found) == CAVSYNC_ERROR_CONFIG &&
            says("which has onnxruntime: choose") && says("-DCAVSYNC_OPENVINO=ON"));
    return;
  }
  REQUIRE(opened_with(path, "openvino", nullptr, found) == CAVSYNC_OK && found == "openvino:fp32 ");
  REQUIRE(opened_with(path, "openvino:fp32", "cpu", found) == CAVSYNC_OK && found == "openvino:fp32 ");
  REQUIRE(opened_with(path, "openvino:int8", nullptr, found) == CAVSYNC_ERROR_CONFIG && says("openvino:fp32"));
  REQUIRE(opened_with(path, "openvino", "cuda", found) == CAVSYNC_ERROR_CONFIG && says("belongs to ONNX Runtime"));
}

void options_are_checked(const cavsync_bundle* bundle) {
  cavsync_scorer* scorer = nullptr;
  cavsync_options options = whole_options();
  // The next value after those of the enumeration.
  options.path = static_cast<cavsync_path>(3);
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("path is unknown"));
  options = whole_options();
  options.profile = "no-such";
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("no-such"));
  options = whole_options();
  options.hop_ms = 15;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("multiple"));
  options = whole_options();
  options.window_seconds = std::numeric_limits<double>::quiet_NaN();
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_CONFIG && says("window_seconds"));
  options = whole_options();
  options.size = offsetof(cavsync_options, begin_after) - 1;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_ERROR_ARGUMENT && says("size"));
  REQUIRE(scorer == nullptr);
}

// What lies behind the options of an older program is not read.
void old_options_are_taken(const cavsync_bundle* bundle) {
  cavsync_scorer* scorer = nullptr;
  std::vector<unsigned char> memory(sizeof(cavsync_options), 0xa5);
  auto* options = reinterpret_cast<cavsync_options*>(memory.data());
  (cavsync_options_init)(options);
  REQUIRE(options->size == offsetof(cavsync_options, begin_after) && memory[options->size] == 0xa5);
  REQUIRE(cavsync_scorer_create(bundle, options, &scorer) == CAVSYNC_OK);
  cavsync_event_change change;
  std::size_t count = 0;
  REQUIRE(cavsync_scorer_take_events(scorer, &change, 1, &count) == CAVSYNC_ERROR_ARGUMENT && says("follows_events"));
  REQUIRE(cavsync_scorer_take_events(nullptr, &change, 1, &count) == CAVSYNC_ERROR_ARGUMENT && says("null"));
  cavsync_scorer_destroy(scorer);
}

// A program that was built before structures grew has less room behind them.
void old_structures_are_not_overrun(const cavsync_bundle* bundle) {
  constexpr std::size_t old_size = offsetof(cavsync_bundle_info, face_audio_encoder);
  std::vector<unsigned char> memory(sizeof(cavsync_bundle_info), 0xa5);
  auto* info = reinterpret_cast<cavsync_bundle_info*>(memory.data());
  (cavsync_bundle_info_init)(info);
  REQUIRE(info->size == old_size && cavsync_bundle_describe(bundle, info) == CAVSYNC_OK && info->has_faces == 1);
  for (std::size_t place = old_size; place < memory.size(); ++place) REQUIRE(memory[place] == 0xa5);
  cavsync_bundle_info_init(info);
  REQUIRE(cavsync_bundle_describe(bundle, info) == CAVSYNC_OK && std::strlen(info->face_audio_encoder) == 12);
  REQUIRE(std::strcmp(info->engine, "onnxruntime:fp32") == 0 && std::strcmp(info->provider, "cpu") == 0);
  info->size = old_size - 1;
  REQUIRE(cavsync_bundle_describe(bundle, info) == CAVSYNC_ERROR_ARGUMENT && says("size"));
}

void input_is_checked(cavsync_scorer* scorer) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  REQUIRE(push_value(scorer, nan, 10, 0) == CAVSYNC_ERROR_MEDIA && says("NaN"));
  REQUIRE(push_value(scorer, 3000, 10, 0) == CAVSYNC_ERROR_MEDIA && says("full scale"));
  REQUIRE(push_value(scorer, 0, 10, std::nan("")) == CAVSYNC_ERROR_MEDIA && says("timestamp"));
  REQUIRE(cavsync_scorer_push_audio(scorer, nullptr, CAVSYNC_F32, 1, 1, 16'000, 0) == CAVSYNC_ERROR_ARGUMENT);
  REQUIRE(cavsync_scorer_push_audio(scorer, nullptr, CAVSYNC_F32, 0, 1, 16'000, 0) == CAVSYNC_OK);
  REQUIRE(cavsync_scorer_push_audio(scorer, "", CAVSYNC_F32, 0, 0, 16'000, 0) == CAVSYNC_ERROR_MEDIA &&
          says("channels"));
  REQUIRE(push_grey(scorer, 20'000, 0) == CAVSYNC_ERROR_MEDIA && says("pixels"));
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.width = frame.height = 16;
  REQUIRE(cavsync_scorer_push_video(scorer, &frame, 0) == CAVSYNC_ERROR_MEDIA && says("plane 0"));
  REQUIRE(push_grey(scorer, 16, 0) == CAVSYNC_OK);
  REQUIRE(cavsync_last_error()[0] == '\0');
}

void streams_end_and_begin(cavsync_scorer* scorer) {
  cavsync_summary summary;
  cavsync_summary_init(&summary);
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK);
  REQUIRE(cavsync_scorer_summarise(scorer, &summary, nullptr, 0) == CAVSYNC_ERROR_ARGUMENT && says("flush"));
  for (int number = 0; number < 10; ++number) REQUIRE(push_grey(scorer, 32, number * 0.04) == CAVSYNC_OK);
  REQUIRE(cavsync_scorer_flush(scorer) == CAVSYNC_OK && cavsync_scorer_flush(scorer) == CAVSYNC_OK);
  REQUIRE(push_grey(scorer, 16, 1) == CAVSYNC_ERROR_ARGUMENT && says("reset"));
  REQUIRE(push_value(scorer, 0, 10, 1) == CAVSYNC_ERROR_ARGUMENT && says("reset"));
  REQUIRE(cavsync_scorer_summarise(scorer, &summary, nullptr, 0) == CAVSYNC_ERROR_MEDIA &&
          says("shorter than one window"));
  cavsync_record record;
  std::size_t count = 1;
  REQUIRE(cavsync_scorer_process(scorer, nullptr, 0, &count) == CAVSYNC_OK && count == 0);
  REQUIRE(cavsync_scorer_process(scorer, &record, 1, &count) == CAVSYNC_OK && count == 1);
  REQUIRE(record.state == CAVSYNC_UNDETERMINED && record.within_profile == -1 && std::isnan(record.audio_offset_ms));
  REQUIRE(std::strcmp(record.reason, "there is no audio in the window") == 0);
  REQUIRE(cavsync_scorer_process(scorer, &record, 1, &count) == CAVSYNC_OK && count == 0);
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK && push_grey(scorer, 16, 0) == CAVSYNC_OK);
}

void what_waits_is_limited(cavsync_scorer* scorer) {
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK);
  const std::size_t count = 16'000 * 60;
  cavsync_status status = CAVSYNC_OK;
  int pushed = 0;
  for (; status == CAVSYNC_OK && pushed < 100; ++pushed) status = push_value(scorer, 0, count, pushed * 60.0);
  REQUIRE(status == CAVSYNC_ERROR_FULL && pushed < 30 && says("process"));
  std::size_t found = 0;
  REQUIRE(cavsync_scorer_process(scorer, nullptr, 0, &found) == CAVSYNC_OK);
  REQUIRE(push_value(scorer, 0, count, pushed * 60.0) == CAVSYNC_OK);
}

// Whole frames, which the face path needs, have a limit of their own.
void whole_frames_are_limited(const cavsync_bundle* bundle) {
  cavsync_options options = whole_options();
  options.path = CAVSYNC_PATH_AUTO;
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  cavsync_status status = CAVSYNC_OK;
  int pushed = 0;
  for (; status == CAVSYNC_OK && pushed < 50; ++pushed) status = push_grey(scorer, 2'000, pushed * 0.04);
  REQUIRE(status == CAVSYNC_ERROR_FULL && pushed > 15 && pushed < 30);
  std::size_t dropped = 0;
  REQUIRE(cavsync_scorer_drop_oldest(scorer, 10, &dropped) == CAVSYNC_OK && dropped > 8);
  REQUIRE(push_grey(scorer, 2'000, 3) == CAVSYNC_OK);
  cavsync_scorer_destroy(scorer);
}

void the_oldest_can_be_dropped(cavsync_scorer* scorer) {
  std::size_t dropped = 1;
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK);
  REQUIRE(cavsync_scorer_drop_oldest(scorer, std::nan(""), &dropped) == CAVSYNC_ERROR_ARGUMENT && says("keep_seconds"));
  for (int number = 0; number < 50; ++number) {
    REQUIRE(push_value(scorer, 0, 1'600, number * 0.1) == CAVSYNC_OK);
    REQUIRE(push_grey(scorer, 16, number * 0.1) == CAVSYNC_OK);
  }
  REQUIRE(cavsync_scorer_drop_oldest(scorer, 10, &dropped) == CAVSYNC_OK && dropped == 0);
  // The filters of stray timestamps hold back one piece of each kind; 49 + 49 wait, of which 10 + 11 stay.
  REQUIRE(cavsync_scorer_drop_oldest(scorer, 1, &dropped) == CAVSYNC_OK && dropped > 70 && dropped < 80);
  REQUIRE(cavsync_scorer_drop_oldest(scorer, 1, &dropped) == CAVSYNC_OK && dropped == 0);
  REQUIRE(cavsync_scorer_drop_oldest(scorer, 0, &dropped) == CAVSYNC_OK && dropped > 15);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  REQUIRE(cavsync_abi_version() == CAVSYNC_ABI_VERSION);
  bundles_are_checked(argv[1], argv[2]);
  cavsync_bundle* bundle = opened(argv[1]);
  engines_are_chosen_by_name(argv[1]);
  options_are_checked(bundle);
  old_options_are_taken(bundle);
  old_structures_are_not_overrun(bundle);
  whole_frames_are_limited(bundle);
  cavsync_scorer* scorer = scorer_of(bundle);
  // The scorer keeps what it needs.
  cavsync_bundle_close(bundle);
  input_is_checked(scorer);
  streams_end_and_begin(scorer);
  what_waits_is_limited(scorer);
  the_oldest_can_be_dropped(scorer);
  cavsync_scorer_destroy(scorer);
  cavsync_scorer_destroy(nullptr);
  cavsync_bundle_close(nullptr);
  return 0;
}
