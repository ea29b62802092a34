// The memory of the element over a long stream.
//   element_memory_test BUNDLE SECONDS [PATH]
// The environment variable CAVSYNC_NATIVE_STREAM_SECONDS takes the place of SECONDS.
#include "element.h"
#include "element_rig.h"

namespace {

using namespace rig;

// Of what waits to be scored, more or less of it at one time than at another.
constexpr double kMaxGrowthMebibytes = 1.5;

// The same after half of the stream as at its end.
void memory_is_flat(int num_seconds, const char* path) {
  Rig rig("block", nullptr, path);
  rig.set_dropping();
  constexpr int kSlice = 5 * kFrameRateHz;
  const int end = num_seconds * kFrameRateHz, step = end / 6 / kSlice * kSlice;
  REQUIRE(step > 0);
  double first = 0, last = 0;
  std::size_t num_decisions = 0;
  for (int number = 0; number < 6 * step; number += kSlice) {
    // Half of the stream is late, so that events begin and end.
    push_both(rig, number, number + kSlice, nullptr, number / kSlice % 8 < 4 ? sound : late_sound);
    num_decisions += rig.decisions().size();
    rig.events = {};
    rig.judgements = {};
    rig.faces = {};
    if ((number + kSlice) % step != 0) continue;
    last = report_memory(std::to_string((number + kSlice) / kFrameRateHz) + " s");
    if (number + kSlice == 3 * step) first = last;
  }
  std::printf("%zu decisions\n", num_decisions);
  REQUIRE(num_decisions > static_cast<std::size_t>(num_seconds) / 4);
  REQUIRE(last - first < kMaxGrowthMebibytes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  bundle = argv[1];
  const char* given = std::getenv("CAVSYNC_NATIVE_STREAM_SECONDS");
  gst_init(nullptr, nullptr);
  REQUIRE(GST_ELEMENT_REGISTER(cavsync, nullptr));
  memory_is_flat(std::atoi(given != nullptr ? given : argv[2]), argc > 3 ? argv[3] : "auto");
  gst_deinit();
  return 0;
}
