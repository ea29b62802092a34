// A live pipeline in C++: one thread pushes frames, another audio, a third computes.
//   score_in_cpp BUNDLE
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cavsync.h"

namespace {

constexpr int kSide = 96, kFrames = 150, kSampleRateHz = 48'000, kChannels = 2;
constexpr double kFrameRateHz = 25;

struct Release {
  void operator()(cavsync_bundle* bundle) const { cavsync_bundle_close(bundle); }
  void operator()(cavsync_scorer* scorer) const { cavsync_scorer_destroy(scorer); }
};
using Bundle = std::unique_ptr<cavsync_bundle, Release>;
using Scorer = std::unique_ptr<cavsync_scorer, Release>;

void check(cavsync_status status) {
  if (status != CAVSYNC_OK) throw std::runtime_error(cavsync_last_error());
}

Bundle opened(const char* path) {
  cavsync_bundle* bundle = nullptr;
  check(cavsync_bundle_open(path, nullptr, &bundle));
  return Bundle(bundle);
}

Scorer scorer_of(const Bundle& bundle) {
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = CAVSYNC_PATH_WHOLE;
  options.group_seconds = 0.32;
  options.follows_events = 1;
  cavsync_scorer* scorer = nullptr;
  check(cavsync_scorer_create(bundle.get(), &options, &scorer));
  return Scorer(scorer);
}

// The sound has another loudness every fifth of a second, and a grey picture its brightness.
double loudness(double seconds) {
  const double place = std::sin(12.9898 * std::floor(5 * seconds)) * 43758.5453;
  return place - std::floor(place);
}

void push_frames(cavsync_scorer* scorer) {
  for (int number = 0; number < kFrames; ++number) {
    const double seconds = number / kFrameRateHz;
    const std::vector<std::uint8_t> pixels(kSide * kSide, static_cast<std::uint8_t>(255 * loudness(seconds)));
    cavsync_frame frame;
    cavsync_frame_init(&frame);
    frame.format = CAVSYNC_GRAY8;
    frame.width = frame.height = frame.strides[0] = kSide;
    frame.planes[0] = pixels.data();
    check(cavsync_scorer_push_video(scorer, &frame, seconds));
  }
}

void push_sound(cavsync_scorer* scorer) {
  constexpr int chunk = 1'024;
  for (int first = 0; first < kFrames / kFrameRateHz * kSampleRateHz; first += chunk) {
    std::vector<std::int16_t> samples;
    for (int place = first; place < first + chunk; ++place) {
      const double seconds = static_cast<double>(place) / kSampleRateHz;
      samples.insert(samples.end(), kChannels,
                     static_cast<std::int16_t>(20'000 * loudness(seconds) * std::sin(3'000 * seconds)));
    }
    check(cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_S16, chunk, kChannels, kSampleRateHz,
                                    static_cast<double>(first) / kSampleRateHz));
  }
}

void print_decisions(cavsync_scorer* scorer) {
  cavsync_record records[8];
  // Fewer than there is room for are the last ones for now.
  for (std::size_t count = 8; count == 8;) {
    check(cavsync_scorer_process(scorer, records, 8, &count));
    for (std::size_t place = 0; place < count; ++place) {
      std::printf("%6.2f s  %s  %+.0f ms  %s\n", records[place].time_seconds, cavsync_state_name(records[place].state),
                  records[place].audio_offset_ms, records[place].reason);
    }
  }
}

void print_events(cavsync_scorer* scorer) {
  cavsync_event_change changes[8];
  for (std::size_t count = 8; count == 8;) {
    check(cavsync_scorer_take_events(scorer, changes, 8, &count));
    for (std::size_t place = 0; place < count; ++place) {
      const cavsync_event& event = changes[place].event;
      const bool has_ended = changes[place].phase == CAVSYNC_EVENT_ENDED;
      std::printf("%6.2f s  %s %s\n", has_ended ? event.end_seconds : event.start_seconds,
                  cavsync_state_name(event.state), has_ended ? "ended" : "began");
    }
  }
}

// The first error of any thread, or an empty text.
template <class Action>
std::thread started(Action action, std::string& error) {
  return std::thread([action, &error] {
    try {
      action();
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
  });
}

void run(const char* path) {
  const Scorer scorer = scorer_of(opened(path));
  std::atomic<bool> is_over{false};
  std::string errors[3];
  std::thread computing = started(
      [&] {
        while (!is_over) {
          print_decisions(scorer.get());
          print_events(scorer.get());
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
      },
      errors[0]);
  std::thread frames = started([&] { push_frames(scorer.get()); }, errors[1]);
  std::thread sound = started([&] { push_sound(scorer.get()); }, errors[2]);
  frames.join();
  sound.join();
  is_over = true;
  computing.join();
  for (const std::string& error : errors) {
    if (!error.empty()) throw std::runtime_error(error);
  }
  check(cavsync_scorer_flush(scorer.get()));
  print_decisions(scorer.get());
  print_events(scorer.get());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: %s BUNDLE\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
    return 1;
  }
  return 0;
}
