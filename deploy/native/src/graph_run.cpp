#include "graph_run.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace cavsync {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

bool shapes_agree(const std::vector<std::int64_t>& declared, const std::vector<std::int64_t>& found) {
  if (declared.size() != found.size()) return false;
  for (std::size_t place = 0; place < declared.size(); ++place) {
    if (declared[place] > 0 && found[place] > 0 && declared[place] != found[place]) return false;
  }
  return true;
}

void require_finite(const std::string& path, const Tensor& tensor) {
  const auto is_finite = [](float value) { return std::isfinite(value); };
  if (!std::all_of(tensor.values.begin(), tensor.values.end(), is_finite)) {
    throw bundle_error(path +
                       " gives values that are not finite, they should be numbers: export the bundle "
                       "again, in fp32 if this one is fp16");
  }
}

}  // namespace cavsync
