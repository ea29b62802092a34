// The pads of the element: every buffer, event and query passes to the track's other pad; copies go to the analysis.
#pragma once

#include "element.h"

namespace cavsync {

// Make the four pads of `self` from its templates.
void add_pads(GstCavsync* self);
// The names of the track's pads, which are those of its templates.
const char* sink_name(Track track);
const char* src_name(Track track);

}  // namespace cavsync
