#include "faces/face_path.h"

#include <algorithm>
#include <tuple>

#include "whole_numbers.h"
#include "window_span.h"

namespace cavsync {

namespace {

// Frames closer than this share of the model's frame period are left out: at 50 frames/s every second one is enough.
constexpr double kMinStepShare = 0.75;

std::int64_t group_frames_of(const FaceSpec& spec, double group_seconds) {
  return std::max<std::int64_t>(1, rounded(group_seconds * spec.frame_rate_hz));
}

double wait_seconds(const FaceSpec& spec, const FacePathOptions& options) {
  const auto waiting_frames =
      static_cast<double>(2 * group_frames_of(spec, options.group_seconds) + spec.num_frames);
  return waiting_frames * (1 / spec.frame_rate_hz) + options.max_lead_seconds;
}

}  // namespace

FacePath::FacePath(const std::shared_ptr<const Bundle>& bundle, const Grid& grid, VideoTrack& video,
                   const FacePathOptions& options)
    : bundle_(bundle),
      engines_(bundle->faces()),
      video_(video),
      max_lead_seconds_(options.max_lead_seconds),
      period_seconds_(1 / engines_.spec().frame_rate_hz),
      group_frames_(group_frames_of(engines_.spec(), options.group_seconds)),
      far_look_(options.looks_far ? std::make_unique<FarLook>(grid, engines_.embedding_dim(), 0.0) : nullptr),
      lags_(face_audio_encoder_of(bundle), grid, wait_seconds(engines_.spec(), options), far_look_.get()),
      finder_({{engines_.short_range(), short_range()}, {engines_.full_range(), full_range()}}, engines_.mesh()),
      pairing_(clock_, lags_.audio().clock()),
      grid_(engines_, group_frames_) {}

void FacePath::push(const RgbView& frame, double pts_seconds) {
  const bool is_set_back = video_.clock().epoch() != clock_.epoch();
  if (is_set_back || grid_.is_due(pts_seconds)) encode();
  if (is_set_back) {
    clock_.set_back(last_seconds_, pts_seconds);
    grid_.begin_again();
    used_seconds_ = -std::numeric_limits<double>::infinity();
  }
  last_seconds_ = pts_seconds;
  elapsed_seconds_ = video_.elapsed_seconds();
  if (pts_seconds - used_seconds_ < kMinStepShare * period_seconds_) return;
  used_seconds_ = pts_seconds;
  grid_.push(finder_.push(frame, pts_seconds), frame, pts_seconds);
}

void FacePath::finish() {
  encode();
  lags_.audio().finish();
}

void FacePath::encode() {
  std::vector<FaceInstant> instants = grid_.encode();
  if (instants.empty()) return;
  const double behind_seconds = last_seconds_ - instants.back().time_seconds;
  groups_.push_back({std::move(instants), clock_.epoch(), elapsed_seconds_ - behind_seconds});
}

std::vector<std::shared_ptr<const FaceRow>> FacePath::advance() {
  std::vector<std::shared_ptr<const FaceRow>> rows;
  while (!groups_.empty()) {
    const Group& group = groups_.front();
    const bool is_late = elapsed_seconds_ - group.elapsed_seconds > max_lead_seconds_;
    const double last_seconds = group.instants.back().time_seconds;
    const auto audio_epoch = lags_.epoch_for(pairing_, group.epoch, last_seconds, is_late);
    if (!audio_epoch) break;
    add_rows(group, *audio_epoch, rows);
    lags_.drop_before(*audio_epoch, last_seconds);
    groups_.pop_front();
  }
  rows_.insert(rows_.end(), rows.begin(), rows.end());
  return rows;
}

void FacePath::add_rows(const Group& group, int audio_epoch, std::vector<std::shared_ptr<const FaceRow>>& rows) {
  std::vector<double> times_seconds;
  for (const FaceInstant& instant : group.instants) times_seconds.push_back(instant.time_seconds);
  lags_.embed(audio_epoch, times_seconds);
  for (const FaceInstant& instant : group.instants) {
    const double seconds = instant.time_seconds;
    rows.push_back(std::make_shared<const FaceRow>(
        FaceRow{instant.track, seconds, group.epoch,
                lags_.similarity(audio_epoch, seconds, instant.embedding, 1, instant.track),
                lags_.level_dbfs(audio_epoch, seconds), instant.look}));
  }
}

bool FacePath::is_complete(int epoch, double end_seconds) const {
  if (!groups_.empty()) {
    const Group& first = groups_.front();
    if (std::make_tuple(first.epoch, first.instants.front().time_seconds) < std::make_tuple(epoch, end_seconds)) {
      return false;
    }
  }
  return clock_.epoch() > epoch || lags_.audio().is_finished() ||
         grid_.horizon_seconds() >= end_seconds - kTimeToleranceSeconds;
}

std::vector<std::shared_ptr<const FaceRow>> FacePath::rows(int epoch, double start_seconds, double end_seconds) const {
  const double start = start_seconds - kTimeToleranceSeconds, end = end_seconds - kTimeToleranceSeconds;
  std::vector<std::shared_ptr<const FaceRow>> found;
  for (const auto& row : rows_) {
    if (row->epoch == epoch && start <= row->time_seconds && row->time_seconds < end) found.push_back(row);
  }
  return found;
}

void FacePath::drop_before(int epoch, double time_seconds) {
  while (!rows_.empty() &&
         std::make_tuple(rows_.front()->epoch, rows_.front()->time_seconds) < std::make_tuple(epoch, time_seconds)) {
    rows_.pop_front();
  }
}

std::optional<Curve> FacePath::far_curve(const std::set<int>& tracks) {
  if (!far_look_) return std::nullopt;
  return far_look_->curve(tracks);
}

}  // namespace cavsync
