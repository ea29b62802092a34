/* Score a generated stream in C: a square that moves when a click sounds, with the audio late by 200 ms.
 *   score_in_c BUNDLE
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cavsync.h"

enum { SIDE = 128, FRAMES = 200, FRAME_RATE = 25, SAMPLE_RATE = 16000, CHUNK = SAMPLE_RATE / FRAME_RATE, SQUARE = 40 };
static const double audio_late_seconds = 0.2;

/* Whether something happens at a time: 12 beats of uneven lengths, again and again. */
static int beat(double seconds) {
  static const double beats[] = {0.1, 0.52, 0.8, 1.31, 1.6, 2.2, 2.45, 2.9, 3.4, 3.72, 4.3, 4.6};
  const double place = fmod(seconds + 50.0, 5.0);
  for (size_t number = 0; number < sizeof beats / sizeof *beats; ++number) {
    if (place >= beats[number] && place < beats[number] + 0.08) return 1;
  }
  return 0;
}

static void check(cavsync_status status) {
  if (status == CAVSYNC_OK) return;
  fprintf(stderr, "Error: %s\n", cavsync_last_error());
  exit(1);
}

static void push_frame(cavsync_scorer* scorer, double seconds) {
  static uint8_t pixels[SIDE * SIDE * 3];
  cavsync_frame frame;
  const int left = beat(seconds) ? 70 : 20;
  memset(pixels, 40, sizeof pixels);
  for (int row = SQUARE; row < 2 * SQUARE; ++row) memset(pixels + 3 * (row * SIDE + left), 220, 3 * SQUARE);
  cavsync_frame_init(&frame);
  frame.width = frame.height = SIDE;
  frame.planes[0] = pixels;
  frame.strides[0] = 3 * SIDE;
  check(cavsync_scorer_push_video(scorer, &frame, seconds));
}

static void push_audio(cavsync_scorer* scorer, double seconds) {
  float samples[CHUNK];
  for (int place = 0; place < CHUNK; ++place) {
    const double at = seconds + (double)place / SAMPLE_RATE;
    samples[place] = (float)((beat(at - audio_late_seconds) ? 0.5 : 0.01) * sin(4000.0 * at));
  }
  check(cavsync_scorer_push_audio(scorer, samples, CAVSYNC_F32, CHUNK, 1, SAMPLE_RATE, seconds));
}

static void print_decisions(cavsync_scorer* scorer) {
  enum { ROOM = 8 };
  cavsync_record records[ROOM];
  size_t count = 0;
  /* Fewer than there is room for are the last ones for now. */
  do {
    check(cavsync_scorer_process(scorer, records, ROOM, &count));
    for (size_t place = 0; place < count; ++place) {
      const cavsync_record* record = &records[place];
      printf("%6.2f s  %s  %+.0f ms  %s\n", record->time_seconds, cavsync_state_name(record->state),
             record->audio_offset_ms, record->reason);
    }
  } while (count == ROOM);
}

int main(int argc, char** argv) {
  cavsync_bundle* bundle = NULL;
  cavsync_scorer* scorer = NULL;
  cavsync_options options;
  if (argc != 2) {
    fprintf(stderr, "Usage: %s BUNDLE\n", argv[0]);
    return 2;
  }
  check(cavsync_bundle_open(argv[1], NULL, &bundle));
  cavsync_options_init(&options);
  options.path = CAVSYNC_PATH_WHOLE;
  check(cavsync_scorer_create(bundle, &options, &scorer));
  for (int number = 0; number < FRAMES; ++number) {
    push_frame(scorer, (double)number / FRAME_RATE);
    push_audio(scorer, (double)number / FRAME_RATE);
    print_decisions(scorer);
  }
  check(cavsync_scorer_flush(scorer));
  print_decisions(scorer);
  cavsync_scorer_destroy(scorer);
  cavsync_bundle_close(bundle);
  return 0;
}
