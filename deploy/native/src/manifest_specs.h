// The records of a manifest, with the limit of every entry.
#pragma once

#include <nlohmann/json.hpp>

#include "manifest.h"

namespace cavsync {

constexpr double kMaxFrameRateHz = 1000.0;
constexpr double kMaxWindowSeconds = 3600.0;
constexpr double kMaxWindowInstants = 100'000;
constexpr double kMaxOffsetMs = 60'000;
constexpr double kHopUnitMs = 10.0;

// Whether a step of the lags is a whole number of log-mel frames.
bool is_whole_hop(double hop_ms);

// Tensors, a graph or a calibration from the entry at `place`.
std::vector<TensorSpec> tensors_of(const nlohmann::json& list, const std::string& place);
GraphSpec graph_of(const nlohmann::json& value, const std::string& place);
Calibration calibration_of(const nlohmann::json& value, const std::string& place);

// What a grid should have, as the clause that follows "which"; empty if all is well.
std::string fault_of_grid(const SyncSpec& sync);

// Check and convert the content of a manifest without its digest; UnfitError for what is out of its limits.
Manifest parse_manifest(const nlohmann::json& content);

}  // namespace cavsync
