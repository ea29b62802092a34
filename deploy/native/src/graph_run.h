// What engines share: comparing tensors with the manifest, rows of graphs that take one at a time, checks of values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine.h"

namespace cavsync {

std::string shape_text(const std::vector<std::int64_t>& shape);

// Whether ranks are equal, and sizes where both are fixed (positive): a graph may leave open what the manifest fixes.
bool shapes_agree(const std::vector<std::int64_t>& declared, const std::vector<std::int64_t>& found);

// A bundle error if a value is not finite; `path` names the graph.
void require_finite(const std::string& path, const Tensor& tensor);

// The output for `shape[0]` items, from `run_once(values, size, shape)`, which gets one item at a time where the graph
// takes no more.
template <class Value, class RunOnce>
Tensor run_rows(bool takes_one, const std::vector<Value>& values, std::vector<std::int64_t> shape, RunOnce run_once) {
  const std::int64_t count = shape.at(0);
  if (!takes_one || count <= 1) return run_once(values.data(), values.size(), shape);
  Tensor all;
  const std::size_t row_size = values.size() / static_cast<std::size_t>(count);
  shape[0] = 1;
  for (std::int64_t row = 0; row < count; ++row) {
    Tensor one = run_once(values.data() + static_cast<std::size_t>(row) * row_size, row_size, shape);
    all.shape = one.shape;
    all.values.insert(all.values.end(), one.values.begin(), one.values.end());
  }
  all.shape[0] = count;
  return all;
}

}  // namespace cavsync
