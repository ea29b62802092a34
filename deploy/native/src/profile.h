// Profiles of allowed offsets: broadcast limits, one frame, or custom ones.
#pragma once

#include <optional>
#include <string>

namespace cavsync {

struct Limits {
  double early_ms;
  double late_ms;
};

// The audio may lead by `early_ms` and lag by `late_ms`; without limits (one frame), they follow from the frame period.
struct Profile {
  std::string name;
  std::optional<Limits> limits;

  // NaN where the limits depend on the frame period and that is NaN.
  Limits limits_for(double frame_period_seconds) const;
};

constexpr const char* kDefaultProfile = "itu-bt1359-detect";

// A profile by name; NaN stands for limits that are not given. A config error for an unknown name or wrong limits.
Profile resolve_profile(const std::string& name, double early_ms, double late_ms);

}  // namespace cavsync
