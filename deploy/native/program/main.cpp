// cavsync-score: the score of files, or of standard input, as JSON lines like those of `cavsync score --json -`.
#include <getopt.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "cavsync.h"
#include "json_lines.h"
#include "media_error.h"
#include "media_file.h"
#include "text.h"

namespace {

using cavsync::MediaError;

constexpr int kFailure = 1, kUsage = 2;
constexpr const char* kHelp =
    "Usage: cavsync-score --bundle FOLDER [options] FILE|- ...\n"
    "Write the score of media files, or of standard input (-), as JSON lines: one per decision and one per file.\n"
    "A positive offset means that the audio is early.\n\n"
    "  --bundle FOLDER      an exported bundle\n"
    "  --path PATH          what is judged: whole (picture), face, or auto (both) [auto]\n"
    "  --profile NAME       limits within which the audio counts as in sync [itu-bt1359-detect]\n"
    "  --early-ms X         limits of the profile `custom`\n"
    "  --late-ms X\n"
    "  --window-seconds X   length of the window of a decision\n"
    "  --max-offset-ms X    half the search range\n"
    "  --frame-rate-hz X    frames used per second, at most\n"
    "  --hop-ms X           step between lags, a multiple of 10 ms\n"
    "  --adaptive           begin with a coarse search, then track the peak: less work (whole picture only)\n"
    "  --audio-stream N     number of the audio track, counted from 0\n"
    "  --faces              add the face that is judged: where it is, and how well it is seen\n"
    "  --events             also a line for each event that begins or ends, as in `cavsync watch`\n"
    "  --begin-after N      with --events: decisions in a row that begin an event [2]\n"
    "  --end-after N        with --events: decisions in a row that end it [3]\n"
    "  --engine NAME        engine that runs the encoders: onnxruntime, openvino, tensorrt, tensorrt_rtx, one with\n"
    "                       :PRECISION, or auto [onnxruntime]; --engines lists those of this build\n"
    "  --provider NAME      execution provider of onnxruntime: cpu, cuda or tensorrt [cpu]\n"
    "  --threads N          threads inside one operator, and of the decoder [one per core]\n"
    "  --engines, --help, --version\n";

struct Arguments {
  std::string bundle, profile, engine, provider;
  cavsync_options options;
  int threads = 0;
  bool shows_faces = false;
  std::optional<int> audio_number;
  std::vector<std::string> sources;
};

[[noreturn]] void refuse(const std::string& sentence) {
  std::fprintf(stderr, "Error: %s\n", sentence.c_str());
  std::exit(kUsage);
}

double number(const char* name, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0') refuse(std::string("--") + name + " is not a number: give one");
  return value;
}

int whole_number(const std::string& name, const char* text, int least) {
  constexpr int most = std::numeric_limits<int>::max();
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto found = std::from_chars(text, end, value);
  if (found.ec != std::errc() || found.ptr != end || value < least) {
    refuse(cavsync::format("--%s is %s: give a whole number from %d to %d", name.c_str(), text, least, most));
  }
  return value;
}

std::size_t count(const std::string& name, const char* text) {
  return static_cast<std::size_t>(whole_number(name, text, 1));
}

void set_path(cavsync_options& options, const std::string& path) {
  if (path == "auto")
    options.path = CAVSYNC_PATH_AUTO;
  else if (path == "whole")
    options.path = CAVSYNC_PATH_WHOLE;
  else if (path == "face")
    options.path = CAVSYNC_PATH_FACE;
  else
    refuse("--path is unknown: choose auto, whole or face");
}

const option kOptions[] = {
    {"bundle", required_argument, nullptr, 0},        {"path", required_argument, nullptr, 0},
    {"profile", required_argument, nullptr, 0},       {"early-ms", required_argument, nullptr, 0},
    {"late-ms", required_argument, nullptr, 0},       {"window-seconds", required_argument, nullptr, 0},
    {"max-offset-ms", required_argument, nullptr, 0}, {"frame-rate-hz", required_argument, nullptr, 0},
    {"hop-ms", required_argument, nullptr, 0},        {"audio-stream", required_argument, nullptr, 0},
    {"events", no_argument, nullptr, 0},              {"begin-after", required_argument, nullptr, 0},
    {"end-after", required_argument, nullptr, 0},     {"faces", no_argument, nullptr, 0},
    {"adaptive", no_argument, nullptr, 0},
    {"engine", required_argument, nullptr, 0},        {"provider", required_argument, nullptr, 0},
    {"threads", required_argument, nullptr, 0},       {"engines", no_argument, nullptr, 'e'},
    {"help", no_argument, nullptr, 'h'},              {"version", no_argument, nullptr, 'v'},
    {nullptr, 0, nullptr, 0},
};

void set_option(Arguments& arguments, const std::string& name, const char* value) {
  cavsync_options& options = arguments.options;
  if (name == "bundle")
    arguments.bundle = value;
  else if (name == "profile")
    arguments.profile = value;
  else if (name == "path")
    set_path(options, value);
  else if (name == "early-ms")
    options.early_ms = number(name.c_str(), value);
  else if (name == "late-ms")
    options.late_ms = number(name.c_str(), value);
  else if (name == "window-seconds")
    options.window_seconds = number(name.c_str(), value);
  else if (name == "max-offset-ms")
    options.max_offset_ms = number(name.c_str(), value);
  else if (name == "frame-rate-hz")
    options.frame_rate_hz = number(name.c_str(), value);
  else if (name == "hop-ms")
    options.hop_ms = number(name.c_str(), value);
  else if (name == "audio-stream")
    arguments.audio_number = whole_number(name, value, 0);
  else if (name == "adaptive")
    options.adaptive = 1;
  else if (name == "faces")
    arguments.shows_faces = true;
  else if (name == "events")
    options.follows_events = 1;
  else if (name == "begin-after")
    options.begin_after = count(name, value);
  else if (name == "end-after")
    options.end_after = count(name, value);
  else if (name == "engine")
    arguments.engine = value;
  else if (name == "provider")
    arguments.provider = value;
  else if (name == "threads")
    arguments.threads = whole_number(name, value, 0);
}

[[noreturn]] void list_engines() {
  for (std::size_t place = 0; const char* name = cavsync_engine_name(place); ++place) {
    std::printf("%s %s", name, cavsync_engine_version(place));
    const bool has_providers = std::string(name) == "onnxruntime";
    for (std::size_t number = 0; has_providers && cavsync_provider_name(number) != nullptr; ++number)
      std::printf("%s%s", number == 0 ? ", providers: " : ", ", cavsync_provider_name(number));
    std::printf("\n");
  }
  std::exit(std::fflush(stdout) != 0);
}

Arguments parsed(int argc, char** argv) {
  Arguments arguments;
  cavsync_options_init(&arguments.options);
  arguments.options.keeps_summary = 1;
  int place = 0;
  for (int found = getopt_long(argc, argv, "", kOptions, &place); found != -1;
       found = getopt_long(argc, argv, "", kOptions, &place)) {
    if (found == '?') std::exit(kUsage);
    if (found == 'h') std::exit(std::fputs(kHelp, stdout) < 0);
    if (found == 'e') list_engines();
    if (found == 'v') std::exit(std::printf("cavsync-score %s\n", cavsync_version()) < 0);
    set_option(arguments, kOptions[place].name, optarg);
  }
  arguments.sources.assign(argv + optind, argv + argc);
  if (arguments.bundle.empty()) refuse("no bundle is named: give --bundle FOLDER");
  if (arguments.sources.empty()) refuse("no file is named: give files, or - for standard input");
  const cavsync_options& options = arguments.options;
  if (options.follows_events == 0 && (options.begin_after != 0 || options.end_after != 0))
    refuse("--begin-after and --end-after need --events: give that too");
  if (!arguments.profile.empty()) arguments.options.profile = arguments.profile.c_str();
  return arguments;
}

// A status of the library as an error of the file.
void require(cavsync_status status) {
  if (status != CAVSYNC_OK) throw MediaError(cavsync_last_error());
}

void print_events(const std::string& source, cavsync_scorer* scorer) {
  cavsync_event_change changes[8];
  for (std::size_t count = std::size(changes); count == std::size(changes);) {
    require(cavsync_scorer_take_events(scorer, changes, std::size(changes), &count));
    for (std::size_t place = 0; place < count; ++place)
      std::fputs(cavsync::event_line(source, changes[place]).c_str(), stdout);
  }
}

// One after the other, because an event follows the decision that begins or ends it.
void print_decisions(const std::string& source, const Arguments& arguments, cavsync_scorer* scorer) {
  cavsync_record record;
  cavsync_face face;
  const cavsync_face* shown = arguments.shows_faces ? &face : nullptr;
  for (std::size_t count = 1; count == 1;) {
    require(cavsync_scorer_process_faces(scorer, &record, &face, 1, &count));
    if (count == 1) std::fputs(cavsync::window_line(source, record, shown).c_str(), stdout);
    if (arguments.options.follows_events != 0) print_events(source, scorer);
  }
}

void score(const std::string& source, const Arguments& arguments, const cavsync_bundle_info& bundle,
           cavsync_scorer* scorer) {
  cavsync::MediaFile media(source, arguments.audio_number, arguments.threads);
  media.read(
      [&](const cavsync::Picture& picture, double pts_seconds) {
        cavsync_frame frame;
        cavsync_frame_init(&frame);
        frame.width = picture.width;
        frame.height = picture.height;
        frame.planes[0] = picture.rgb.data();
        frame.strides[0] = picture.stride;
        require(cavsync_scorer_push_video(scorer, &frame, pts_seconds));
        print_decisions(source, arguments, scorer);
      },
      [&](const cavsync::AudioChunk& chunk) {
        require(cavsync_scorer_push_audio(scorer, chunk.samples.data(), CAVSYNC_F32, chunk.samples.size(), 1, 16'000,
                                          chunk.pts_seconds));
        print_decisions(source, arguments, scorer);
      });
  require(cavsync_scorer_flush(scorer));
  print_decisions(source, arguments, scorer);
  cavsync_summary summary;
  cavsync_summary_init(&summary);
  require(cavsync_scorer_summarise(scorer, &summary, nullptr, 0));
  std::vector<cavsync_event> events(summary.num_events);
  require(cavsync_scorer_summarise(scorer, &summary, events.data(), events.size()));
  const std::string line = cavsync::summary_line(source, summary, events, media, bundle, arguments.shows_faces);
  std::fputs(line.c_str(), stdout);
}

// An open event ends where its file fails.
void print_error(const std::string& source, const Arguments& arguments, cavsync_scorer* scorer,
                 const std::string& sentence) {
  if (cavsync_scorer_reset(scorer) == CAVSYNC_OK && arguments.options.follows_events != 0)
    print_events(source, scorer);
  std::fputs(cavsync::error_line(source, sentence).c_str(), stdout);
  std::fprintf(stderr, "Error: %s\n", sentence.c_str());
}

// Score each file; a failed one gives a line with its error.
int score_all(const Arguments& arguments, const cavsync_bundle_info& bundle, cavsync_scorer* scorer) {
  int status = 0;
  for (const std::string& source : arguments.sources) {
    try {
      require(cavsync_scorer_reset(scorer));
      score(source, arguments, bundle, scorer);
    } catch (const std::bad_alloc&) {
      print_error(source, arguments, scorer, source + " needs more memory than there is: give more, or smaller frames");
      status = kFailure;
    } catch (const std::exception& error) {
      print_error(source, arguments, scorer, error.what());
      status = kFailure;
    }
  }
  return std::fflush(stdout) == 0 ? status : kFailure;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parsed(argc, argv);
  av_log_set_level(AV_LOG_FATAL);
  // Readers of a pipe get each line as it comes.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  cavsync_bundle_options engine;
  cavsync_bundle_options_init(&engine);
  engine.threads = arguments.threads;
  if (!arguments.engine.empty()) engine.engine = arguments.engine.c_str();
  if (!arguments.provider.empty()) engine.provider = arguments.provider.c_str();
  cavsync_bundle* bundle = nullptr;
  cavsync_scorer* scorer = nullptr;
  cavsync_bundle_info info;
  cavsync_bundle_info_init(&info);
  cavsync_status status = cavsync_bundle_open(arguments.bundle.c_str(), &engine, &bundle);
  if (status == CAVSYNC_OK) status = cavsync_bundle_describe(bundle, &info);
  if (status == CAVSYNC_OK) status = cavsync_scorer_create(bundle, &arguments.options, &scorer);
  int exit_status = status == CAVSYNC_ERROR_CONFIG || status == CAVSYNC_ERROR_UNSUPPORTED ? kUsage : kFailure;
  if (status == CAVSYNC_OK)
    exit_status = score_all(arguments, info, scorer);
  else
    std::fprintf(stderr, "Error: %s\n", cavsync_last_error());
  cavsync_scorer_destroy(scorer);
  cavsync_bundle_close(bundle);
  return exit_status;
}
