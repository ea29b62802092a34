// The options with which a stream is scored, checked.
#pragma once

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
};

// Those of the C interface with a bundle's values where they give none; `given` may be null. A config error for options
// that cannot be used.
Options options_for(const Manifest& manifest, const cavsync_options* given);

}  // namespace cavsync
