#include "lag_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "align.h"
#include "dot.h"
#include "whole_numbers.h"

namespace cavsync {

namespace {
constexpr double kOnGrid = 1e-6;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Put straight lines between the values at multiples of `step`, the first value being that at `first`; NaN beyond them.
void join(std::vector<double>& values, std::int64_t first, std::int64_t step) {
  const auto count = static_cast<std::int64_t>(values.size());
  const auto at = [&](std::int64_t place) { return values[static_cast<std::size_t>(place)]; };
  std::vector<double> joined(values.size(), kNaN);
  for (std::int64_t place = 0; place < count; ++place) {
    const std::int64_t below = floor_div(first + place, step) * step - first, above = below + step;
    double& value = joined[static_cast<std::size_t>(place)];
    if (below < 0) continue;
    if (below == place) {
      value = at(place);
    } else if (above < count) {
      const double slope = (at(above) - at(below)) / static_cast<double>(step);
      value = slope * static_cast<double>(place - below) + at(below);
    }
  }
  values = std::move(joined);
}

}

LagRows::LagRows(const std::shared_ptr<const AudioEncoder>& encoder, const Grid& grid, double wait_seconds,
                 FarLook* far_look)
    : reach_(grid.reach),
      hop_seconds_(grid.hop_ms / 1000),
      first_center_seconds_(segment_center_seconds(0, encoder->segment_frames)),
      far_look_(far_look),
      audio_(encoder, grid.hop_frames, 2 * grid.max_offset_ms / 1000 + 2 * first_center_seconds_ + wait_seconds) {}

std::optional<int> LagRows::epoch_for(EpochPairing& pairing, int epoch, double last_seconds, bool is_late) const {
  const bool is_awaited = !is_late && !audio_.is_finished();
  const double audio_seconds = is_awaited ? audio_.end_seconds() : std::numeric_limits<double>::infinity();
  const auto found =
      pairing.epoch_of(epoch, last_seconds, audio_seconds, [&](int number) { return covers(number, last_seconds); });
  if (!found || is_late) return found;
  return audio_.has(*found, stop(last_seconds)) ? found : std::nullopt;
}

void LagRows::embed(int epoch, const std::vector<double>& times_seconds, std::int64_t step) {
  embed(epoch, times_seconds, std::vector<bool>(static_cast<std::size_t>(2 * reach_ + 1), true), step);
}

void LagRows::embed(int epoch, const std::vector<double>& times_seconds, const std::vector<bool>& lags,
                    std::int64_t step) {
  std::vector<std::int64_t> wanted;
  for (const double seconds : times_seconds) {
    const std::int64_t first = place(seconds).below - reach_;
    for (std::size_t lag = 0; lag < lags.size(); ++lag) {
      if (!lags[lag]) continue;
      // A row lies between two instants of the audio.
      const std::int64_t lower = first + static_cast<std::int64_t>(lag);
      for (const std::int64_t instant : {lower, lower + 1}) {
        if (instant % step == 0) wanted.push_back(instant);
      }
    }
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  audio_.embed(epoch, wanted);
}

std::vector<double> LagRows::similarity(int epoch, double time_seconds, const std::vector<float>& embedding,
                                        std::int64_t step, int track) {
  const GridPlace found = place(time_seconds);
  const std::vector<float> candidates = audio_.embeddings(epoch, found.below - reach_, found.below + reach_ + 2);
  if (far_look_ != nullptr) far_look_->note(epoch, track, time_seconds, found, embedding, candidates, step);
  std::vector<double> values = dots(candidates, embedding);
  if (step > 1) join(values, found.below - reach_, step);
  return interpolated_row(values, found.share_above);
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
