// The push interface: any order of calls with any frames, audio and times gives a status, and memory stays bounded.
// The environment variable CAVSYNC_FUZZ_BUNDLE names a bundle, best one with a face path whose models cost nothing.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cavsync.h"
#include "piece_reader.h"

namespace {

cavsync_scorer* make_scorer(bool is_adaptive) {
  cavsync_bundle* bundle = nullptr;
  cavsync_bundle_options bundle_options;
  cavsync_bundle_options_init(&bundle_options);
  bundle_options.threads = 1;
  cavsync_options options;
  cavsync_options_init(&options);
  // Little work for the models, which are not what is tried.
  options.window_seconds = 0.6;
  options.max_offset_ms = 200;
  options.frame_rate_hz = 10;
  options.hop_ms = 100;
  options.group_seconds = 0.3;
  options.keeps_summary = 1;
  options.adaptive = is_adaptive;
  options.follows_events = 1;
  options.begin_after = options.end_after = 1;
  cavsync_scorer* scorer = nullptr;
  const char* path = std::getenv("CAVSYNC_FUZZ_BUNDLE");
  if (cavsync_bundle_open(path, &bundle_options, &bundle) != CAVSYNC_OK ||
      cavsync_scorer_create(bundle, &options, &scorer) != CAVSYNC_OK) {
    std::fprintf(stderr, "CAVSYNC_FUZZ_BUNDLE does not name a bundle: %s\n", cavsync_last_error());
    std::abort();
  }
  cavsync_bundle_close(bundle);
  return scorer;
}

void take_events(cavsync_scorer* scorer) {
  cavsync_event_change changes[2];
  for (std::size_t count = 2; count == 2;) cavsync_scorer_take_events(scorer, changes, 2, &count);
}

void call(cavsync_scorer* scorer, cavsync::PieceReader& reader) {
  cavsync_record records[4];
  cavsync_face faces[4];
  std::size_t count = 0;
  cavsync_summary summary;
  cavsync_summary_init(&summary);
  cavsync_event events[4];
  switch (reader.byte() % 16) {
    case 0: cavsync_scorer_flush(scorer); break;
    case 1: cavsync_scorer_reset(scorer); break;
    case 2: cavsync_scorer_summarise(scorer, &summary, events, 4); break;
    case 3: cavsync_scorer_drop_oldest(scorer, reader.seconds(), &count); break;
    case 4: take_events(scorer); break;
    case 5: cavsync_scorer_process_faces(scorer, records, faces, 4, &count); break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10: reader.push_video(scorer); break;
    default: reader.push_audio(scorer);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Inputs of odd length are searched adaptively.
  static cavsync_scorer* const scorers[] = {make_scorer(false), make_scorer(true)};
  cavsync_scorer* const scorer = scorers[size % 2];
  cavsync::PieceReader reader(data, size);
  while (!reader.is_over()) call(scorer, reader);
  cavsync_scorer_flush(scorer);
  cavsync_scorer_reset(scorer);
  take_events(scorer);
  return 0;
}
