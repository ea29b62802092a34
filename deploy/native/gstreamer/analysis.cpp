#include "analysis.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cavsync {

namespace {

constexpr double kMaxWaitingSeconds = 2.0;
constexpr double kStaleSeconds = 5.0;
constexpr std::size_t kChangesAtOnce = 8;

std::size_t place_of(Track track) { return static_cast<std::size_t>(track); }

}  // namespace

Analysis::Analysis(const cavsync_bundle* bundle, const cavsync_options& options, Policy policy, Listener listener)
    : policy_(policy), listener_(std::move(listener)) {
  cavsync_scorer* scorer = nullptr;
  if (cavsync_scorer_create(bundle, &options, &scorer) != CAVSYNC_OK) throw std::runtime_error(cavsync_last_error());
  scorer_.reset(scorer);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error& error) {
    throw std::runtime_error(std::string("the thread that scores could not be started (") + error.what() +
                             "): let the process have more threads");
  }
}

Analysis::~Analysis() {
  stop();
  thread_.join();
}

void Analysis::push_video(const cavsync_frame& frame, double pts_seconds, double duration_seconds) {
  push(Track::kVideo, duration_seconds, [&] { return cavsync_scorer_push_video(scorer_.get(), &frame, pts_seconds); });
}

void Analysis::push_audio(const PieceOfAudio& audio, double pts_seconds) {
  push(Track::kAudio, static_cast<double>(audio.num_samples) / std::max(1, audio.rate_hz), [&] {
    return cavsync_scorer_push_audio(scorer_.get(), audio.samples, audio.format, audio.num_samples, audio.num_channels,
                                     audio.rate_hz, pts_seconds);
  });
}

template <class Push>
void Analysis::push(Track track, double duration_seconds, Push push) {
  const std::size_t place = place_of(track);
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return is_flushing_[place] || is_stopping_ || has_failed_ || has_ended_; };
  if (policy_ == Policy::kBlock) {
    changed_.wait(lock, [&] { return waiting_seconds_[place] <= kMaxWaitingSeconds || is_over(); });
  }
  if (is_over()) return;
  if (stale_seconds_[place] > 0) {
    stale_seconds_[place] -= duration_seconds;
    return;
  }
  const std::uint64_t stream = stream_;
  cavsync_status status = CAVSYNC_ERROR_FULL;
  while (true) {
    const std::uint64_t round = round_;
    // Both tracks convert at the same time, and while the thread computes.
    lock.unlock();
    status = push();
    if (status != CAVSYNC_ERROR_FULL || policy_ != Policy::kBlock) break;
    // Whole frames of a large picture fill the memory for what waits in less than two seconds.
    lock.lock();
    has_input_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return round_ != round || is_over(); });
    if (is_over() || stream != stream_) return;
  }
  if (status != CAVSYNC_OK) report_trouble(stream, false);
  std::size_t num_dropped = 0;
  if (policy_ == Policy::kDropOldest) cavsync_scorer_drop_oldest(scorer_.get(), kMaxWaitingSeconds, &num_dropped);
  lock.lock();
  num_dropped_ += num_dropped;
  has_pushed_[place] = has_pushed_[place] || stream == stream_;
  waiting_seconds_[place] += duration_seconds;
  has_input_ = true;
  changed_.notify_all();
}

void Analysis::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return has_input_ || must_end_ || is_stopping_; });
    if (is_stopping_) return;
    const bool ends = std::exchange(must_end_, false);
    const std::uint64_t stream = stream_;
    has_input_ = false;
    waiting_seconds_.fill(0);
    changed_.notify_all();
    lock.unlock();
    compute(stream, ends);
    lock.lock();
    ++round_;
    changed_.notify_all();
    if (ends && stream == stream_) {
      has_ended_ = true;
      changed_.notify_all();
    }
  }
}

void Analysis::compute(std::uint64_t stream, bool ends) {
  if (ends && cavsync_scorer_flush(scorer_.get()) != CAVSYNC_OK) report_trouble(stream, true);
  while (report_decision(stream)) {
  }
}

// Whether there may be more. One after the other, because an event follows the decision that begins or ends it.
bool Analysis::report_decision(std::uint64_t stream) {
  cavsync_record record;
  cavsync_face face;
  std::size_t count = 0;
  const bool has_failed = cavsync_scorer_process_faces(scorer_.get(), &record, &face, 1, &count) != CAVSYNC_OK;
  if (has_failed) report_trouble(stream, true);
  if (count > 0 && is_current(stream)) listener_.on_record(record, face);
  report_events(stream);
  return count > 0;
}

void Analysis::report_events(std::uint64_t stream) {
  std::array<cavsync_event_change, kChangesAtOnce> changes;
  for (std::size_t count = changes.size(); count == changes.size();) {
    if (cavsync_scorer_take_events(scorer_.get(), changes.data(), changes.size(), &count) != CAVSYNC_OK) return;
    for (std::size_t place = 0; place < count; ++place) {
      const bool begins = changes[place].phase == CAVSYNC_EVENT_BEGAN;
      // Of an earlier stream, only the end of what has been reported.
      if (begins ? !is_current(stream) : !is_event_open_) continue;
      is_event_open_ = begins;
      listener_.on_event(changes[place]);
    }
  }
}

// After a fatal error nothing more is pushed until a reset.
void Analysis::report_trouble(std::uint64_t stream, bool is_fatal) {
  const std::string sentence = cavsync_last_error();
  {
    const std::lock_guard lock(mutex_);
    if (stream != stream_) return;
    has_failed_ = has_failed_ || is_fatal;
    changed_.notify_all();
    if (std::exchange(has_warned_, true)) return;
  }
  listener_.on_trouble(sentence);
}

bool Analysis::is_current(std::uint64_t stream) {
  const std::lock_guard lock(mutex_);
  return stream == stream_ && !is_stopping_;
}

void Analysis::drain() {
  std::unique_lock lock(mutex_);
  const std::uint64_t stream = stream_;
  must_end_ = is_ending_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] {
    const bool is_flushing = std::any_of(is_flushing_.begin(), is_flushing_.end(), [](bool is) { return is; });
    return has_ended_ || is_flushing || is_stopping_ || stream != stream_;
  });
}

void Analysis::reset() {
  const std::lock_guard lock(mutex_);
  forget();
}

void Analysis::forget() {
  ++stream_;
  waiting_seconds_.fill(0);
  stale_seconds_.fill(0);
  has_pushed_.fill(false);
  must_end_ = is_ending_ = has_ended_ = has_failed_ = has_warned_ = false;
  // Waits for what is being computed, with the lock held: the thread needs it only afterwards.
  cavsync_scorer_reset(scorer_.get());
  // An event may have ended by it, which the thread reports.
  has_input_ = true;
  changed_.notify_all();
}

void Analysis::start_flushing(Track track) {
  const std::lock_guard lock(mutex_);
  is_flushing_[place_of(track)] = true;
  stale_seconds_[place_of(track)] = 0;
  changed_.notify_all();
}

bool Analysis::stop_flushing(Track track, bool resets_time) {
  const std::size_t place = place_of(track), other = place_of(track == Track::kAudio ? Track::kVideo : Track::kAudio);
  const std::lock_guard lock(mutex_);
  is_flushing_[place] = false;
  if (!has_pushed_[place] && !is_ending_) return false;
  const bool is_other_old = resets_time && has_pushed_[other] && !is_flushing_[other];
  forget();
  if (is_other_old) stale_seconds_[other] = kStaleSeconds;
  return true;
}

void Analysis::begin_segment(Track track) {
  const std::lock_guard lock(mutex_);
  stale_seconds_[place_of(track)] = 0;
}

void Analysis::stop() {
  const std::lock_guard lock(mutex_);
  is_stopping_ = true;
  changed_.notify_all();
}

bool Analysis::has_ended() {
  const std::lock_guard lock(mutex_);
  return has_ended_;
}

std::uint64_t Analysis::num_dropped() {
  const std::lock_guard lock(mutex_);
  return num_dropped_;
}

}  // namespace cavsync
