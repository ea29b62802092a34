#include "far_look.h"

#include <cmath>
#include <limits>

#include "dot.h"
#include "whole_numbers.h"

namespace cavsync {

namespace {

// One moment in so much time is enough for a file.
constexpr double kCellSeconds = 0.16;
// Moments are compared in groups of this length.
constexpr double kChunkSeconds = 10.0;

std::vector<double> far_lags_ms(const Grid& grid) {
  std::vector<double> lags_ms;
  for (std::int64_t lag = -2 * grid.reach; lag <= 2 * grid.reach; ++lag)
    lags_ms.push_back(static_cast<double>(lag) * grid.hop_ms);
  return lags_ms;
}

}  // namespace

FarLook::FarLook(const Grid& grid, int embedding_dim, double disorder_seconds)
    : dim_(static_cast<std::size_t>(embedding_dim)),
      reach_(grid.reach),
      wait_(grid.reach + 2 + static_cast<std::int64_t>(std::ceil(disorder_seconds / (grid.hop_ms / 1000)))),
      chunk_(rounded(kChunkSeconds / (grid.hop_ms / 1000))),
      lags_ms_(far_lags_ms(grid)),
      audio_(dim_, std::numeric_limits<float>::quiet_NaN(), 0) {}

void FarLook::note(int epoch, int track, double time_seconds, const GridPlace& place,
                   const std::vector<float>& embedding, const std::vector<float>& audio, std::int64_t step) {
  if (epoch != epoch_) {
    settle_all();
    epoch_ = epoch;
    newest_ = place.below;
    settled_ = place.below - wait_;
    audio_.start_at(settled_ - reach_);
  }
  const Key key{track, static_cast<std::int64_t>(std::floor(time_seconds / kCellSeconds))};
  const auto known = waiting_.find(key);
  if (place.below < settled_ || (known != waiting_.end() && known->second.step <= step)) return;
  waiting_[key] = {place, embedding, step};
  store(place.below - reach_, audio);
  newest_ = std::max(newest_, place.below);
  if (newest_ - wait_ - settled_ >= chunk_) settle_before(newest_ - wait_);
}

Curve FarLook::curve(const std::set<int>& tracks) {
  settle_all();
  std::vector<LagSums> blocks;
  std::size_t num_moments = 0;
  for (const int track : tracks) {
    const auto found = sums_.find(track);
    if (found == sums_.end()) continue;
    blocks.push_back(found->second.lags);
    num_moments += found->second.num_moments;
  }
  return curve_of_sums(lags_ms_, blocks, num_moments);
}

void FarLook::store(std::int64_t start, const std::vector<float>& audio) {
  const std::int64_t first = std::max(start, audio_.first());
  const std::int64_t stop = start + static_cast<std::int64_t>(audio.size() / dim_);
  audio_.append_fill(stop - audio_.end());
  std::vector<float> known = audio_.read(first, stop);
  const float* given = audio.data() + static_cast<std::size_t>(first - start) * dim_;
  for (std::size_t place = 0; place < known.size(); ++place) {
    if (!std::isnan(given[place])) known[place] = given[place];
  }
  if (stop > first) audio_.write(first, known.data(), stop - first);
}

void FarLook::settle_all() {
  for (const auto& [key, moment] : waiting_) add(key.first, moment);
  waiting_.clear();
}

void FarLook::settle_before(std::int64_t instant) {
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    if (entry->second.place.below >= instant) {
      ++entry;
      continue;
    }
    add(entry->first.first, entry->second);
    entry = waiting_.erase(entry);
  }
  settled_ = instant;
  audio_.drop_before(instant - 2 * reach_);
}

void FarLook::add(int track, const Moment& moment) {
  Sums& sums = sums_.try_emplace(track, Sums{LagSums(lags_ms_.size())}).first->second;
  sums.lags.add(row(moment));
  ++sums.num_moments;
}

// The similarities (lags) of a moment, NaN where audio is missing.
std::vector<double> FarLook::row(const Moment& moment) const {
  const auto& [below, share_above] = moment.place;
  const std::vector<float> audio = audio_.read(below - 2 * reach_, below + 2 * reach_ + 2);
  return interpolated_row(dots(audio, moment.embedding), share_above);
}

}  // namespace cavsync
