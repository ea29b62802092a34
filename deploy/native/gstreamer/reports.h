// What the element posts on the bus. The functions are called from the thread that computes; `post_trouble` from others, too.
#pragma once

#include <string>

#include "element.h"

namespace cavsync {

void init_debug_category();
void post_decision(GstCavsync* self, const cavsync_record& record, const cavsync_face& face);
void post_event(GstCavsync* self, const cavsync_event_change& change);
// As a warning: the streams go on, because a monitor does not end what it watches.
void post_trouble(GstCavsync* self, const std::string& sentence);

}  // namespace cavsync
