#include "scorer.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "stream_limits.h"
#include "summary.h"
#include "text.h"
#include "trend.h"
#include "whole_numbers.h"

namespace cavsync {

namespace {

// No frame should wait much longer than `group_seconds` for its group.
std::size_t group_instants(const Options& options) {
  const std::int64_t wanted = rounded(options.grid.frame_rate_hz * options.group_seconds);
  return static_cast<std::size_t>(std::clamp<std::int64_t>(wanted, 1, kGroupInstants));
}

double checked_seconds(double pts_seconds) {
  // Beyond 2^40 s, a number cannot represent the distance between two samples.
  if (!(std::abs(pts_seconds) < std::ldexp(1.0, 40))) {
    throw media_error(format("the timestamp is %g: give seconds within ±2^40", pts_seconds));
  }
  return pts_seconds;
}

}  // namespace

Scorer::Stream::Stream(const std::shared_ptr<const Bundle>& bundle, const Options& options)
    : frame_input(bundle->manifest().img_size),
      rows(bundle, options.grid, options.max_lead_seconds, group_instants(options), options.keeps_summary) {
  if (options.keeps_summary) whole.emplace(options.grid.lags_ms, bundle->manifest().sync.decision_step_seconds);
}

Scorer::Scorer(std::shared_ptr<const Bundle> bundle, Options options)
    : bundle_(std::move(bundle)), options_(std::move(options)), stream_(std::make_unique<Stream>(bundle_, options_)) {}

void Scorer::push_video(const cavsync_frame& frame, double pts_seconds) {
  const std::lock_guard lock(video_mutex_);
  check_open();
  checked_seconds(pts_seconds);
  inbox_.require_room();
  for (auto& [seconds, pixels] : stream_->video_filter.push(pts_seconds, 0.0, stream_->frame_input.small(frame))) {
    inbox_.add(SmallPicture{seconds, std::move(pixels)});
  }
}

void Scorer::push_audio(const PushedAudio& audio) {
  const std::lock_guard lock(audio_mutex_);
  check_open();
  checked_seconds(audio.pts_seconds);
  inbox_.require_room();
  add_audio(stream_->audio_input.push(audio));
}

void Scorer::add_audio(const std::vector<AudioChunk>& chunks) {
  for (const AudioChunk& chunk : chunks) {
    const double length_seconds = static_cast<double>(chunk.samples.size()) / 16'000;
    for (auto& [seconds, samples] : stream_->audio_filter.push(chunk.pts_seconds, length_seconds, chunk.samples)) {
      inbox_.add(AudioChunk{seconds, std::move(samples)});
    }
  }
}

std::vector<Record> Scorer::process(std::size_t capacity) {
  const std::lock_guard lock(compute_mutex_);
  if (!stream_->is_finished) compute();
  std::deque<Record>& waiting = stream_->waiting;
  const auto end = waiting.begin() + static_cast<std::ptrdiff_t>(std::min(capacity, waiting.size()));
  std::vector<Record> taken(waiting.begin(), end);
  waiting.erase(waiting.begin(), end);
  return taken;
}

void Scorer::flush() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  if (stream_->is_finished) return;
  add_audio(stream_->audio_input.flush());
  for (auto& [seconds, samples] : stream_->audio_filter.flush()) inbox_.add(AudioChunk{seconds, std::move(samples)});
  for (auto& [seconds, pixels] : stream_->video_filter.flush()) inbox_.add(SmallPicture{seconds, std::move(pixels)});
  compute();
  stream_->rows.finish();
  decide();
  if (stream_->span) {
    VideoTrack& video = stream_->rows.video();
    judge_windows(stream_->span->finish(video.clock().epoch(), video.last_seconds()));
  }
  stream_->is_finished = true;
}

void Scorer::reset() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  stream_ = std::make_unique<Stream>(bundle_, options_);
  inbox_.take_all();
}

// Feed what waits, and decide what is due. After a model has failed, the stream cannot go on.
void Scorer::compute() {
  if (!stream_->failure.empty()) throw bundle_error(stream_->failure);
  try {
    for (InboxItem& item : inbox_.take_all()) {
      feed(item);
      decide();
    }
  } catch (const std::exception& error) {
    stream_->failure = error.what();
    throw;
  }
}

void Scorer::feed(InboxItem& item) {
  if (auto* picture = std::get_if<SmallPicture>(&item)) {
    stream_->rows.video().push(std::move(picture->pixels), picture->pts_seconds);
  } else {
    const auto& chunk = std::get<AudioChunk>(item);
    stream_->rows.audio().push(chunk.samples, chunk.pts_seconds);
  }
}

void Scorer::decide() {
  for (const Row& row : stream_->rows.complete_rows()) {
    std::optional<WindowSpan>& span = stream_->span;
    if (span && !span->continues_with(row)) {
      judge_windows(span->finish());
      span.reset();
    }
    if (!span) span.emplace(options_.grid, row);
    judge_windows(span->add(row));
    if (stream_->whole) stream_->whole->add(row);
  }
}

void Scorer::judge_windows(const std::vector<Window>& windows) {
  for (const Window& window : windows) {
    std::vector<const std::vector<double>*> similarity;
    Evidence evidence;
    for (const Row& row : window.rows) {
      similarity.push_back(&row.similarity);
      evidence.add(row.motion, row.level_dbfs, row.period_seconds);
    }
    const Record record = judge(curve_of_rows(options_.grid.lags_ms, similarity), evidence,
                                bundle_->manifest().calibration, options_.profile, window.span, resolution_floor_ms());
    stream_->waiting.push_back(record);
    if (options_.keeps_summary) stream_->records.push_back(record);
  }
}

// Smallest resolvable offset with fewer frames or longer hops than the calibration used: the error of a mean grows with
// the root of the distance of its frames; with a longer hop, the peak may lie anywhere between two lags.
double Scorer::resolution_floor_ms() const {
  const Manifest& manifest = bundle_->manifest();
  const double hop_ms = options_.grid.hop_ms > manifest.sync.hop_ms ? options_.grid.hop_ms / 2 : 0.0;
  const double rarer = manifest.sync.frame_rate_hz / options_.grid.frame_rate_hz;
  const double resolution_ms = manifest.calibration ? manifest.calibration->resolution_ms : 0.0;
  return std::max(hop_ms, resolution_ms * std::sqrt(std::max(1.0, rarer)));
}

void Scorer::check_open() const {
  if (stream_->is_finished) {
    throw media_error("the stream was flushed and accepts no more input: call cavsync_scorer_reset to begin a new one");
  }
}

Summary Scorer::summary() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  if (!stream_->whole) throw argument_error("the scorer keeps no summary: create it with keeps_summary");
  if (!stream_->is_finished) throw argument_error("the stream has not ended: call cavsync_scorer_flush first");
  VideoTrack& video = stream_->rows.video();
  const std::vector<Record>& records = stream_->records;
  const double period_seconds = std::isfinite(video.period_seconds()) ? video.period_seconds() : 0.0;
  const double start_seconds = video.first_seconds().value_or(0.0);
  const double end_seconds = video.first_seconds() ? video.progress_seconds() + period_seconds : 0.0;
  const double duration_seconds = end_seconds - start_seconds;
  if (records.empty() || records.back().window_seconds < options_.grid.window_seconds) {
    throw media_error(
        format("the stream lasts %.2f s, shorter than one window of %.2f s: give a longer one or a smaller "
               "window_seconds",
               duration_seconds, options_.grid.window_seconds));
  }
  const Record score = summarised({bundle_->manifest(),
                                   options_,
                                   *stream_->whole,
                                   records,
                                   {end_seconds, duration_seconds},
                                   resolution_floor_ms(),
                                   stream_->rows.far_curve()});
  const auto undetermined = std::count_if(records.begin(), records.end(),
                                          [](const Record& record) { return record.state == CAVSYNC_UNDETERMINED; });
  const double step_seconds = bundle_->manifest().sync.decision_step_seconds;
  return {score,
          options_.profile.limits_for(stream_->whole->evidence().frame_period_seconds()),
          duration_seconds,
          drift_ms_per_minute(records),
          worst_offset_ms(records),
          static_cast<double>(undetermined) / static_cast<double>(records.size()),
          records.size(),
          video.num_ignored() + stream_->video_filter.num_dropped(),
          out_of_sync_events(records, step_seconds, start_seconds, end_seconds)};
}

}  // namespace cavsync
