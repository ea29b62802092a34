#include "scorer.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "summary.h"
#include "text.h"
#include "trend.h"

namespace cavsync {

namespace {

double checked_seconds(double pts_seconds) {
  // Beyond 2^40 s, a number cannot represent the distance between two samples.
  if (!(std::abs(pts_seconds) < std::ldexp(1.0, 40))) {
    throw media_error(format("the timestamp is %g: give seconds within ±2^40", pts_seconds));
  }
  return pts_seconds;
}

// Remove at most `capacity` of the oldest.
template <class Item>
std::vector<Item> taken_from(std::deque<Item>& waiting, std::size_t capacity) {
  const auto end = waiting.begin() + static_cast<std::ptrdiff_t>(std::min(capacity, waiting.size()));
  std::vector<Item> taken(waiting.begin(), end);
  waiting.erase(waiting.begin(), end);
  return taken;
}

}  // namespace

Scorer::Scorer(std::shared_ptr<const Bundle> bundle, Options options)
    : bundle_(std::move(bundle)),
      options_(std::move(options)),
      stream_(std::make_unique<StreamState>(bundle_, options_)),
      tracker_(options_.begin_after, options_.end_after) {}

void Scorer::push_video(const cavsync_frame& frame, double pts_seconds) {
  const std::lock_guard lock(video_mutex_);
  check_open();
  checked_seconds(pts_seconds);
  inbox_.require_room();
  for (auto& [seconds, kept] : stream_->video_filter.push(pts_seconds, 0.0, stream_->frame_input.kept(frame))) {
    inbox_.add(TimedFrame{seconds, std::move(kept)});
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
  if (!stream_->is_finished && !stream_->failure) compute([this] { feed_waiting(); });
  std::vector<Record> taken = taken_from(stream_->waiting, capacity);
  if (taken.empty()) require_success();
  if (options_.follows_events) follow_events(taken);
  return taken;
}

// A beginning or an end is given only after the decision that causes it.
void Scorer::follow_events(const std::vector<Record>& taken) {
  for (const Record& record : taken) keep_changes(tracker_.update(record));
  if (stream_->is_finished && stream_->waiting.empty()) keep_changes(tracker_.finish());
}

void Scorer::keep_changes(const std::vector<cavsync_event_change>& changes) {
  const std::lock_guard lock(changes_mutex_);
  changes_.insert(changes_.end(), changes.begin(), changes.end());
}

std::vector<cavsync_event_change> Scorer::take_events(std::size_t capacity) {
  if (!options_.follows_events) {
    throw argument_error("the scorer follows no events: create it with follows_events");
  }
  const std::lock_guard lock(changes_mutex_);
  return taken_from(changes_, capacity);
}

void Scorer::flush() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  require_success();
  if (stream_->is_finished) return;
  compute([this] {
    add_audio(stream_->audio_input.flush());
    for (auto& [seconds, samples] : stream_->audio_filter.flush()) inbox_.add(AudioChunk{seconds, std::move(samples)});
    for (auto& [seconds, kept] : stream_->video_filter.flush()) inbox_.add(TimedFrame{seconds, std::move(kept)});
    feed_waiting();
    stream_->finish();
  });
  require_success();
}

void Scorer::reset() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  keep_changes(tracker_.finish());
  stream_ = std::make_unique<StreamState>(bundle_, options_);
  inbox_.take_all();
}

template <class Action>
void Scorer::compute(Action action) {
  try {
    action();
  } catch (...) {
    stream_->failure = std::current_exception();
  }
}

// Feed what waits, and decide what is due.
void Scorer::feed_waiting() {
  for (InboxItem& item : inbox_.take_all()) {
    if (auto* frame = std::get_if<TimedFrame>(&item)) {
      stream_->feed_frame(std::move(frame->frame), frame->pts_seconds);
    } else {
      const auto& chunk = std::get<AudioChunk>(item);
      stream_->feed_audio(chunk.samples, chunk.pts_seconds);
    }
    stream_->decide();
  }
}

void Scorer::require_success() const {
  if (stream_->failure) std::rethrow_exception(stream_->failure);
}

void Scorer::check_open() const {
  if (stream_->is_finished) {
    throw argument_error("the stream was flushed and accepts no more input: call cavsync_scorer_reset to begin a new one");
  }
}

Summary Scorer::summary() {
  const std::scoped_lock lock(video_mutex_, audio_mutex_, compute_mutex_);
  if (!stream_->whole) throw argument_error("the scorer keeps no summary: create it with keeps_summary");
  require_success();
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
  const Record score = summarised(bundle_->manifest(), options_, *stream_, {end_seconds, duration_seconds});
  const auto by_face = std::count_if(records.begin(), records.end(),
                                     [](const Record& record) { return record.path == CAVSYNC_PATH_FACE; });
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
          static_cast<double>(by_face) / static_cast<double>(records.size()),
          stream_->face_file ? stream_->face_file->most_at_once() : 0,
          out_of_sync_events(records, step_seconds, start_seconds, end_seconds)};
}

}  // namespace cavsync
