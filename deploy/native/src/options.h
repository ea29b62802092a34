// The options with which a stream is scored, checked.
#pragma once

#include <cstddef>

#include "cavsync.h"
#include "grid.h"
#include "profile.h"

namespace cavsync {

struct Options {
  // The paths that are judged, at least one.
  bool uses_whole;
  bool uses_faces;
  Profile profile;
  Grid grid;
  double max_lead_seconds;
  double group_seconds;
  bool keeps_summary;
  // Of the whole picture's search.
  bool is_adaptive;
  // Decisions in a row that begin and that end an event.
  std::size_t begin_after;
  std::size_t end_after;
  bool follows_events;
};

// Those of the C interface with a bundle's values where they give none; `given` may be null. A config error for options
// that cannot be used.
Options options_for(const Manifest& manifest, const cavsync_options* given);

}  // namespace cavsync
