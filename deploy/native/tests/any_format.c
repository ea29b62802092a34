/* A push as a C program may make it, with any number as the format. */
#include "cavsync.h"

cavsync_status push_sample_of_format(cavsync_scorer* scorer, int format);

cavsync_status push_sample_of_format(cavsync_scorer* scorer, int format) {
  const float sample = 0;
  return cavsync_scorer_push_audio(scorer, &sample, (cavsync_sample_format)format, 1, 1, 16000, 0);
}
