// Similarities at up to twice the search range, from what the search embeds anyway, to notice an offset beyond it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
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
  // Moments of a track come in any order within `disorder_seconds`.
  FarLook(const Grid& grid, int embedding_dim, double disorder_seconds);

  // Add a moment of a track, which is the number of a face, or 0: in an epoch of the audio, its embedding (D), and those
  // of the audio (2 * reach + 2, D) from `reach` instants before it on; NaN where missing. One of `step` instants was
  // embedded.
  void note(int epoch, int track, double time_seconds, const GridPlace& place, const std::vector<float>& embedding,
            const std::vector<float>& audio, std::int64_t step);
  // The mean similarity of all moments of some tracks over twice the range, once all were noted.
  Curve curve(const std::set<int>& tracks);

 private:
  struct Moment {
    GridPlace place;
    std::vector<float> embedding;
    std::int64_t step;
  };
  struct Sums {
    LagSums lags;
    std::size_t num_moments = 0;
  };
  // The track, and the cell of time that a moment stands for.
  using Key = std::pair<int, std::int64_t>;

  void store(std::int64_t start, const std::vector<float>& audio);
  void settle_all();
  void settle_before(std::int64_t instant);
  void add(int track, const Moment& moment);
  std::vector<double> row(const Moment& moment) const;

  std::size_t dim_;
  std::int64_t reach_, wait_, chunk_;
  std::vector<double> lags_ms_;
  Timeline<float> audio_;
  std::map<Key, Moment> waiting_;
  int epoch_ = -1;
  std::int64_t newest_ = 0, settled_ = 0;
  std::map<int, Sums> sums_;
};

}  // namespace cavsync
