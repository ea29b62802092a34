// Graphs and calibrations, as a manifest describes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cavsync {

// A size of 0 stands for a named, dynamic dimension.
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;
};

struct GraphSpec {
  std::string file;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// Another way to compute a graph: `runtime` opens `file`, which needs the files `companions` too.
struct EngineSpec {
  std::string graph;
  std::string runtime;
  std::string precision;
  std::string file;
  std::vector<std::string> companions;
};

struct Calibration {
  std::vector<std::string> features;
  std::vector<double> weights;
  double bias = 0;
  double threshold = 0;
  double tolerance_ms = 0;
  double resolution_ms = 0;
  double zero_point_ms = 0;
  // The feature log_frames counts up to here: the longest example that it was fitted on.
  std::optional<std::int64_t> max_frames;
};

}  // namespace cavsync
