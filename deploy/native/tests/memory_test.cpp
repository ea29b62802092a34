// Where memory lacks, functions say so, and a scorer is usable again after a reset.
//   memory_test BUNDLE
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cavsync.h"
#include "require.h"
#include "scarce_memory.h"

namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

bool lacks_memory(cavsync_status status) { return status == CAVSYNC_ERROR_MEMORY && says("not enough memory"); }

cavsync_status push_silence(cavsync_scorer* scorer, std::size_t num_seconds, double pts_seconds) {
  const std::vector<float> samples(num_seconds * 16'000);
  return cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_F32, samples.size(), 1, 16'000, pts_seconds);
}

// Not even a sentence can be copied.
void an_error_needs_no_memory(const char* path) {
  cavsync_bundle* bundle = nullptr;
  set_largest_new(0);
  const cavsync_status status = cavsync_bundle_open(path, nullptr, &bundle);
  const bool is_said = says("not enough memory");
  set_largest_new(kUnlimited);
  REQUIRE(status == CAVSYNC_ERROR_MEMORY && is_said && bundle == nullptr);
}

void a_push_that_fails_is_a_hole(cavsync_scorer* scorer) {
  const std::vector<float> samples(10 * 16'000);
  set_largest_new(100'000);
  const cavsync_status status =
      cavsync_scorer_push_audio(scorer, samples.data(), CAVSYNC_F32, samples.size(), 1, 16'000, 0);
  set_largest_new(kUnlimited);
  REQUIRE(lacks_memory(status) && push_silence(scorer, 10, 10) == CAVSYNC_OK);
}

void a_failure_keeps_its_status(cavsync_scorer* scorer) {
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK && push_silence(scorer, 60, 0) == CAVSYNC_OK);
  cavsync_record record;
  std::size_t count = 77;
  set_largest_new(1'000'000);
  const cavsync_status status = cavsync_scorer_process(scorer, &record, 1, &count);
  set_largest_new(kUnlimited);
  REQUIRE(lacks_memory(status) && count == 0);
  REQUIRE(lacks_memory(cavsync_scorer_process(scorer, &record, 1, &count)));
  REQUIRE(lacks_memory(cavsync_scorer_flush(scorer)) && lacks_memory(cavsync_scorer_flush(scorer)));
  cavsync_summary summary;
  cavsync_summary_init(&summary);
  REQUIRE(lacks_memory(cavsync_scorer_summarise(scorer, &summary, nullptr, 0)));
  REQUIRE(cavsync_scorer_reset(scorer) == CAVSYNC_OK && push_silence(scorer, 60, 0) == CAVSYNC_OK);
  REQUIRE(cavsync_scorer_process(scorer, &record, 1, &count) == CAVSYNC_OK && cavsync_scorer_flush(scorer) == CAVSYNC_OK);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  an_error_needs_no_memory(argv[1]);
  cavsync_bundle* bundle = nullptr;
  REQUIRE(cavsync_bundle_open(argv[1], nullptr, &bundle) == CAVSYNC_OK);
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = CAVSYNC_PATH_WHOLE;
  options.keeps_summary = 1;
  cavsync_scorer* scorer = nullptr;
  REQUIRE(cavsync_scorer_create(bundle, &options, &scorer) == CAVSYNC_OK);
  a_push_that_fails_is_a_hole(scorer);
  a_failure_keeps_its_status(scorer);
  cavsync_scorer_destroy(scorer);
  cavsync_bundle_close(bundle);
  return 0;
}
