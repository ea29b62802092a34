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

FarLook::FarLook(const Grid& grid, int embedding_dim)
    : dim_(static_cast<std::size_t>(embedding_dim)),
      reach_(grid.reach),
      wait_(grid.reach + 2),
      chunk_(rounded(kChunkSeconds / (grid.hop_ms / 1000))),
      lags_ms_(far_lags_ms(grid)),
      audio_(dim_, std::numeric_limits<float>::quiet_NaN(), 0),
      sums_(lags_ms_.size()) {}

void FarLook::note(int epoch, double time_seconds, const GridPlace& place, const std::vector<float>& embedding,
                   const std::vector<float>& audio) {
  if (epoch != epoch_) {
    settle_all();
    epoch_ = epoch;
    newest_ = place.below;
    settled_ = place.below - wait_;
    audio_.start_at(settled_ - reach_);
  }
  const auto cell = static_cast<std::int64_t>(std::floor(time_seconds / kCellSeconds));
  if (place.below < settled_ || waiting_.count(cell) > 0) return;
  waiting_[cell] = {place, embedding};
  store(place.below - reach_, audio);
  newest_ = std::max(newest_, place.below);
  if (newest_ - wait_ - settled_ >= chunk_) settle_before(newest_ - wait_);
}

Curve FarLook::curve() {
  settle_all();
  return curve_of_sums(lags_ms_, {sums_}, num_moments_);
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
  for (const auto& [cell, moment] : waiting_) sums_.add(row(moment));
  num_moments_ += waiting_.size();
  waiting_.clear();
}

void FarLook::settle_before(std::int64_t instant) {
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    if (entry->second.place.below >= instant) {
      ++entry;
      continue;
    }
    sums_.add(row(entry->second));
    ++num_moments_;
    entry = waiting_.erase(entry);
  }
  settled_ = instant;
  audio_.drop_before(instant - 2 * reach_);
}

// The similarities (lags) of a moment, NaN where audio is missing.
std::vector<double> FarLook::row(const Moment& moment) const {
  const auto& [below, share_above] = moment.place;
  const std::vector<float> audio = audio_.read(below - 2 * reach_, below + 2 * reach_ + 2);
  return interpolated_row(dots(audio, moment.embedding), share_above);
}

}  // namespace cavsync
