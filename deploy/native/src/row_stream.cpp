#include "row_stream.h"

namespace cavsync {

RowStream::RowStream(std::shared_ptr<const Bundle> bundle, const Grid& grid, double max_lead_seconds,
                     std::size_t group_instants, bool looks_far)
    : bundle_(std::move(bundle)),
      max_lead_seconds_(max_lead_seconds),
      video_(bundle_->manifest(), grid.frame_rate_hz, group_instants),
      far_look_(looks_far ? std::make_unique<FarLook>(grid, bundle_->embedding_dim()) : nullptr),
      lags_(bundle_, grid, 2 * (static_cast<double>(group_instants) / grid.frame_rate_hz) + max_lead_seconds,
            far_look_.get()),
      pairing_(video_.clock(), lags_.audio().clock()) {}

std::optional<Curve> RowStream::far_curve() {
  if (!far_look_) return std::nullopt;
  return far_look_->curve();
}

void RowStream::finish() {
  video_.finish();
  lags_.audio().finish();
}

std::vector<Row> RowStream::complete_rows() {
  std::vector<Row> rows;
  take_groups();
  while (!groups_.empty()) {
    const VisualInstant& last = groups_.front().instants.back();
    const bool is_late = video_.elapsed_seconds() - last.elapsed_seconds > max_lead_seconds_;
    const auto epoch = lags_.epoch_for(pairing_, last.epoch, last.time_seconds, is_late);
    if (!epoch) break;
    add_rows(groups_.front(), *epoch, rows);
    lags_.drop_before(*epoch, last.time_seconds);
    groups_.pop_front();
  }
  return rows;
}

void RowStream::take_groups() {
  for (std::vector<VisualInstant> instants = video_.take_group(); !instants.empty(); instants = video_.take_group()) {
    std::vector<float> embeddings = bundle_->embed_frames(video_.tubelets(instants));
    groups_.push_back({std::move(instants), std::move(embeddings)});
  }
}

void RowStream::add_rows(const Group& group, int epoch, std::vector<Row>& rows) {
  std::vector<double> times_seconds;
  for (const VisualInstant& instant : group.instants) times_seconds.push_back(instant.time_seconds);
  lags_.embed(epoch, times_seconds);
  const std::ptrdiff_t dim = bundle_->embedding_dim();
  auto start = group.embeddings.begin();
  for (const VisualInstant& instant : group.instants) {
    const std::vector<float> embedding(start, start + dim);
    start += dim;
    rows.push_back({instant.time_seconds, lags_.similarity(epoch, instant.time_seconds, embedding), instant.motion,
                    lags_.level_dbfs(epoch, instant.time_seconds), instant.period_seconds, instant.epoch});
  }
}

}  // namespace cavsync
