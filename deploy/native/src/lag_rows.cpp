#include "lag_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "align.h"
#include "dot.h"

namespace cavsync {

namespace {
constexpr double kOnGrid = 1e-6;
}

LagRows::LagRows(const std::shared_ptr<const Bundle>& bundle, const Grid& grid, double wait_seconds, FarLook* far_look)
    : reach_(grid.reach),
      hop_seconds_(grid.hop_ms / 1000),
      first_center_seconds_(segment_center_seconds(0, bundle->manifest().segment_frames)),
      far_look_(far_look),
      audio_(bundle, grid.hop_frames, 2 * grid.max_offset_ms / 1000 + 2 * first_center_seconds_ + wait_seconds) {}

std::optional<int> LagRows::epoch_for(EpochPairing& pairing, int epoch, double last_seconds, bool is_late) const {
  const bool is_awaited = !is_late && !audio_.is_finished();
  const double audio_seconds = is_awaited ? audio_.end_seconds() : std::numeric_limits<double>::infinity();
  const auto found =
      pairing.epoch_of(epoch, last_seconds, audio_seconds, [&](int number) { return covers(number, last_seconds); });
  if (!found || is_late) return found;
  return audio_.has(*found, stop(last_seconds)) ? found : std::nullopt;
}

void LagRows::embed(int epoch, const std::vector<double>& times_seconds) {
  std::vector<std::int64_t> wanted;
  for (const double seconds : times_seconds) {
    const std::int64_t below = place(seconds).below;
    for (std::int64_t instant = below - reach_; instant <= below + reach_ + 1; ++instant) wanted.push_back(instant);
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  audio_.embed(epoch, wanted);
}

std::vector<double> LagRows::similarity(int epoch, double time_seconds, const std::vector<float>& embedding) {
  const GridPlace found = place(time_seconds);
  const std::vector<float> candidates = audio_.embeddings(epoch, found.below - reach_, found.below + reach_ + 2);
  if (far_look_ != nullptr) far_look_->note(epoch, time_seconds, found, embedding, candidates);
  return interpolated_row(dots(candidates, embedding), found.share_above);
}

double LagRows::level_dbfs(int epoch, double time_seconds) const {
  const GridPlace found = place(time_seconds);
  return audio_.level_dbfs(epoch, found.share_above <= 0.5 ? found.below : found.below + 1);
}

void LagRows::drop_before(int epoch, double time_seconds) {
  if (covers(epoch, time_seconds)) audio_.drop_before(epoch, place(time_seconds).below - reach_);
}

bool LagRows::covers(int epoch, double time_seconds) const {
  return audio_.covers(epoch, time_seconds, stop(time_seconds));
}

GridPlace LagRows::place(double time_seconds) const {
  const double position = (time_seconds - first_center_seconds_) / hop_seconds_;
  const double below = std::floor(position + kOnGrid);
  const double share_above = position - below;
  return {static_cast<std::int64_t>(below), share_above < kOnGrid ? 0.0 : share_above};
}

}  // namespace cavsync
