// Similarities at up to twice the search range, from what the search embeds anyway, to notice an offset beyond it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "curve.h"
#include "grid.h"
#include "timeline.h"

namespace cavsync {

// The instant of the audio grid at or below a moment, and the distance from it to that moment as a share of a hop.
struct GridPlace {
  std::int64_t below;
  double share_above;
};

class FarLook {
 public:
  FarLook(const Grid& grid, int embedding_dim);

  // Add a moment in an epoch of the audio, its embedding (D), and those of the audio (2 * reach + 2, D) from `reach`
  // instants before it on; NaN where missing.
  void note(int epoch, double time_seconds, const GridPlace& place, const std::vector<float>& embedding,
            const std::vector<float>& audio);
  // The mean similarity of all moments over twice the range, once all were noted.
  Curve curve();

 private:
  struct Moment {
    GridPlace place;
    std::vector<float> embedding;
  };

  void store(std::int64_t start, const std::vector<float>& audio);
  void settle_all();
  void settle_before(std::int64_t instant);
  std::vector<double> row(const Moment& moment) const;

  std::size_t dim_;
  std::int64_t reach_, wait_, chunk_;
  std::vector<double> lags_ms_;
  Timeline<float> audio_;
  // By the cell of time that a moment stands for.
  std::map<std::int64_t, Moment> waiting_;
  int epoch_ = -1;
  std::int64_t newest_ = 0, settled_ = 0;
  LagSums sums_;
  std::size_t num_moments_ = 0;
};

}  // namespace cavsync
