#include "profile.h"

#include <cmath>
#include <map>

#include "error.h"
#include "text.h"

namespace cavsync {

namespace {
const std::map<std::string, std::optional<Limits>> kProfiles = {
    {"itu-bt1359-detect", Limits{45.0, 125.0}},
    {"itu-bt1359-accept", Limits{90.0, 185.0}},
    {"ebu-r37", Limits{40.0, 60.0}},
    {"atsc-is191", Limits{15.0, 45.0}},
    {"one-frame", std::nullopt},
};
constexpr const char* kCustom = "custom";
}  // namespace

Limits Profile::limits_for(double frame_period_seconds) const {
  return limits.value_or(Limits{1000 * frame_period_seconds, 1000 * frame_period_seconds});
}

Profile resolve_profile(const std::string& name, double early_ms, double late_ms) {
  if (name == kCustom) {
    for (const double limit : {early_ms, late_ms}) {
      if (!std::isfinite(limit) || limit < 0) {
        throw config_error("profile custom lacks a limit: give both limits as milliseconds, zero or more");
      }
    }
    return {name, Limits{early_ms, late_ms}};
  }
  const auto found = kProfiles.find(name);
  if (found == kProfiles.end()) {
    std::string names;
    for (const auto& [known, limits] : kProfiles) names += known + ", ";
    throw config_error("profile '" + plain(name) + "' is unknown: choose one of " + names + kCustom);
  }
  if (!std::isnan(early_ms) || !std::isnan(late_ms)) {
    throw config_error("profile " + name + " has its own limits: leave out the early and late limits or use " +
                       kCustom);
  }
  return {name, found->second};
}

}  // namespace cavsync
