// What engines share: comparing tensors with the manifest, batches in parts, checks of values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine.h"

namespace cavsync {

std::string shape_text(const std::vector<std::int64_t>& shape);

// Whether ranks are equal, and sizes where both are fixed (positive): a graph may leave open what the manifest fixes.
bool shapes_agree(const std::vector<std::int64_t>& declared, const std::vector<std::int64_t>& found);

// A bundle error if a value is not finite; `path` names the graph.
void require_finite(const std::string& path, const Tensor& tensor);

constexpr std::int64_t kAnyNumber = std::numeric_limits<std::int64_t>::max();

// The output for `shape[0]` items, from `run_once(values, size, shape)`, which gets at most `most_items` at a time.
template <class Value, class RunOnce>
Tensor run_rows(std::int64_t most_items, const std::vector<Value>& values, std::vector<std::int64_t> shape,
                RunOnce run_once) {
  const std::int64_t count = shape.at(0);
  if (count <= most_items) return run_once(values.data(), values.size(), shape);
  Tensor all;
  const std::size_t row_size = values.size() / static_cast<std::size_t>(count);
  for (std::int64_t row = 0; row < count; row += most_items) {
    shape[0] = std::min(most_items, count - row);
    Tensor some = run_once(values.data() + static_cast<std::size_t>(row) * row_size,
                           row_size * static_cast<std::size_t>(shape[0]), shape);
    all.shape = some.shape;
    all.values.insert(all.values.end(), some.values.begin(), some.values.end());
  }
  all.shape.at(0) = count;
  return all;
}

}  // namespace cavsync
