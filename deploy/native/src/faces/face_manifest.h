// The entry `faces` of a manifest.
#pragma once

#include <nlohmann/json.hpp>

#include "faces/face_spec.h"

namespace cavsync {

// Check and convert it; UnfitError for what is out of its limits.
FaceSpec face_spec_of(const nlohmann::json& value);

}  // namespace cavsync
