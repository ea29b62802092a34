// Constants that several parts of the stream share; the same as in the Python package.
#pragma once

#include <cstddef>

namespace cavsync {

// Largest number of instants embedded together. Groups lie at fixed places, so results do not depend on chunks.
constexpr std::size_t kGroupInstants = 16;
// Timestamps that go back by less belong to a stray packet, which is ignored; by more, to a clock that was set back.
constexpr double kJumpBackSeconds = 1.0;
// Longest hole in the timestamps that a window may contain; after a longer one, windows start over.
constexpr double kHoleSeconds = 10.0;
// How long a longer hole, or a clock that is set back, counts in what a frame waits for its audio.
constexpr double kJumpSeconds = 1.0;
// Clocks of video and audio that are set back within this time of each other were set back together.
constexpr double kPatienceSeconds = 5.0;

}  // namespace cavsync
