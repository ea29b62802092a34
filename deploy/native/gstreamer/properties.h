// The properties of the element, which are kept in its `Settings`.
#pragma once

#include "element.h"

namespace cavsync {

void install_properties(GObjectClass* object_class);
// A copy, because other threads may set properties meanwhile.
Settings settings_of(GstCavsync* self);

}  // namespace cavsync
