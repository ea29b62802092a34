// Computes one graph of a bundle.
#pragma once

#include <cstdint>
#include <vector>

namespace cavsync {

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Return the output of that name for the graph's one input; the first size counts items. A bundle error if the graph
  // refuses the input or gives values that are not finite. Safe to call from several threads.
  virtual Tensor run(const std::vector<float>& values, std::vector<std::int64_t> shape, const char* output) const = 0;
  virtual Tensor run(const std::vector<std::uint8_t>& values, std::vector<std::int64_t> shape,
                     const char* output) const = 0;
};

}  // namespace cavsync
