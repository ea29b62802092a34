#include "row_stream.h"

#include <algorithm>
#include <limits>

#include "stream_limits.h"

namespace cavsync {

namespace {

// How long audio is kept besides the search range and a segment.
double wait_seconds(const Grid& grid, const RowStreamOptions& options) {
  const double group_seconds = static_cast<double>(options.group_instants) / grid.frame_rate_hz;
  return 2 * group_seconds + options.max_lead_seconds + options.demand_seconds;
}

}  // namespace

RowStream::RowStream(std::shared_ptr<const Bundle> bundle, const Grid& grid, Search& search,
                     const RowStreamOptions& options)
    : bundle_(std::move(bundle)),
      num_lags_(grid.lags_ms.size()),
      search_(search),
      options_(options),
      video_(bundle_->manifest(), grid.frame_rate_hz, options.group_instants),
      far_look_(options.looks_far
                    ? std::make_unique<FarLook>(grid, bundle_->embedding_dim(), options.demand_seconds)
                    : nullptr),
      lags_(audio_encoder_of(bundle_), grid, wait_seconds(grid, options), far_look_.get()),
      pairing_(video_.clock(), lags_.audio().clock()) {}

std::optional<Curve> RowStream::far_curve() {
  if (!far_look_) return std::nullopt;
  return far_look_->curve({0});
}

void RowStream::finish() {
  video_.finish();
  lags_.audio().finish();
}

std::vector<RowPointer> RowStream::next_rows() {
  take_groups();
  if (groups_.empty()) return {};
  const VisualInstant& last = groups_.front().instants.back();
  const bool is_late = video_.elapsed_seconds() - last.elapsed_seconds > options_.max_lead_seconds;
  const auto epoch = lags_.epoch_for(pairing_, last.epoch, last.time_seconds, is_late);
  if (!epoch) return {};
  const Group group = std::move(groups_.front());
  groups_.pop_front();
  std::vector<RowPointer> rows = rows_of(group, *epoch);
  if (options_.compared != Compared::kOnDemand) lags_.drop_before(*epoch, group.instants.back().time_seconds);
  return rows;
}

// An adaptive search embeds no frame before its turn.
void RowStream::take_groups() {
  while (!(search_.is_adaptive() && !groups_.empty())) {
    const std::vector<VisualInstant> taken = video_.take_group();
    if (taken.empty()) return;
    Group group{{}, search_.next_group(), {}, {}, num_taken_};
    num_taken_ += static_cast<std::int64_t>(taken.size());
    for (std::size_t place = 0; place < taken.size(); ++place) {
      if (group.plan.takes(place)) group.instants.push_back(taken[place]);
    }
    if (group.instants.empty()) continue;
    if (options_.compared == Compared::kAtOnce) {
      group.embeddings = bundle_->embed_frames(video_.tubelets(group.instants));
    } else if (options_.compared == Compared::kOnDemand) {
      group.tubelets = video_.tubelets(group.instants);
    }
    groups_.push_back(std::move(group));
  }
}

std::vector<RowPointer> RowStream::rows_of(const Group& group, int epoch) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (options_.compared == Compared::kAtOnce) {
    std::vector<double> times_seconds;
    for (const VisualInstant& instant : group.instants) times_seconds.push_back(instant.time_seconds);
    lags_.embed(epoch, times_seconds, group.plan.lags);
  }
  const std::ptrdiff_t dim = bundle_->embedding_dim();
  std::vector<RowPointer> rows;
  for (std::size_t place = 0; place < group.instants.size(); ++place) {
    const VisualInstant& instant = group.instants[place];
    auto row = std::make_shared<Row>(Row{instant.time_seconds, std::vector<double>(num_lags_, kNaN), instant.motion,
                                         lags_.level_dbfs(epoch, instant.time_seconds), instant.period_seconds,
                                         instant.epoch, group.plan.stride, std::nullopt});
    if (options_.compared == Compared::kAtOnce) {
      const auto start = group.embeddings.begin() + static_cast<std::ptrdiff_t>(place) * dim;
      row->similarity = lags_.similarity(epoch, instant.time_seconds, {start, start + dim});
      for (std::size_t lag = 0; lag < num_lags_; ++lag) {
        if (!group.plan.lags[lag]) row->similarity[lag] = kNaN;
      }
    } else if (options_.compared == Compared::kOnDemand) {
      const std::int64_t index = group.first_index + static_cast<std::int64_t>(place);
      row->source = RowSource{index, epoch, group.tubelets[place], {}, std::nullopt};
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void RowStream::compare(const std::vector<RowPointer>& rows, const Density& density) {
  std::vector<RowPointer> wanted;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(wanted),
               [&](const RowPointer& row) { return row->source && row->source->lacks(density); });
  embed(wanted);
  for (auto first = wanted.begin(); first != wanted.end();) {
    const int epoch = (*first)->source->audio_epoch;
    const auto end = std::find_if(first, wanted.end(),
                                  [&](const RowPointer& row) { return row->source->audio_epoch != epoch; });
    std::vector<double> times_seconds;
    for (auto row = first; row != end; ++row) times_seconds.push_back((*row)->time_seconds);
    lags_.embed(epoch, times_seconds, density.step);
    for (; first != end; ++first) {
      Row& row = **first;
      row.similarity = lags_.similarity(epoch, row.time_seconds, row.source->embedding, density.step);
      row.stride = density.stride;
      row.source->density = density;
    }
  }
}

// Embed those of the rows that are not embedded yet.
void RowStream::embed(const std::vector<RowPointer>& rows) {
  std::vector<RowPointer> fresh;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(fresh),
               [](const RowPointer& row) { return row->source->embedding.empty(); });
  const std::ptrdiff_t dim = bundle_->embedding_dim();
  for (std::size_t start = 0; start < fresh.size(); start += kGroupInstants) {
    const std::size_t stop = std::min(start + kGroupInstants, fresh.size());
    std::vector<Tubelet> tubelets;
    for (std::size_t place = start; place < stop; ++place) tubelets.push_back(fresh[place]->source->tubelet);
    const std::vector<float> found = bundle_->embed_frames(tubelets);
    auto embedding = found.begin();
    for (std::size_t place = start; place < stop; ++place, embedding += dim) {
      RowSource& source = *fresh[place]->source;
      source.embedding.assign(embedding, embedding + dim);
      source.tubelet.clear();
    }
  }
}

void RowStream::release(const Row& row) {
  if (row.source) lags_.drop_before(row.source->audio_epoch, row.time_seconds);
}

}  // namespace cavsync
