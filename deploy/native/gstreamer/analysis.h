// The scorer of one pipeline, computed on a thread of its own. Nothing here knows GStreamer.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cavsync.h"

namespace cavsync {

enum class Track { kAudio, kVideo };
constexpr std::size_t kNumTracks = 2;

// What happens to a buffer when more waits than the thread has taken.
enum class Policy { kDropOldest, kBlock };

struct PieceOfAudio {
  const void* samples;
  cavsync_sample_format format;
  std::size_t num_samples;
  int num_channels;
  int rate_hz;
};

struct ScorerCloser {
  void operator()(cavsync_scorer* scorer) const { cavsync_scorer_destroy(scorer); }
};

// Streaming threads push; the thread computes and reports. A call that waits returns early once its track flushes or
// the analysis stops.
class Analysis {
 public:
  using OnRecord = std::function<void(const cavsync_record&, const cavsync_face&)>;
  using OnEvent = std::function<void(const cavsync_event_change&)>;
  using OnTrouble = std::function<void(const std::string& sentence)>;

  struct Listener {
    OnRecord on_record;
    OnEvent on_event;
    OnTrouble on_trouble;
  };

  // std::runtime_error with a sentence if the options, which must follow events, do not fit the bundle, or no thread can
  // be started. The listener is called from the thread, `on_trouble` also from those that push, at most once per stream.
  // Every beginning of an event that was reported is followed by its end, also after a reset, unless the analysis is
  // stopped.
  Analysis(const cavsync_bundle* bundle, const cavsync_options& options, Policy policy, Listener listener);
  ~Analysis();
  Analysis(const Analysis&) = delete;
  Analysis& operator=(const Analysis&) = delete;

  void push_video(const cavsync_frame& frame, double pts_seconds, double duration_seconds);
  void push_audio(const PieceOfAudio& audio, double pts_seconds);
  // End the stream and wait until its last decision is reported.
  void drain();
  // Forget the stream; its decisions that are not reported yet are lost.
  void reset();
  // While a track flushes, its pushes return at once.
  void start_flushing(Track track);
  // Return whether that forgot the stream: the first track of a flush does. The other one, which may have a source and a
  // flush of its own, must not forget again what was pushed since. If time begins anew, what it still pushes before its
  // own flush or segment is not scored, for kStaleSeconds at most, because these may not come.
  bool stop_flushing(Track track, bool resets_time);
  void begin_segment(Track track);
  // Make all waiting calls return, for good.
  void stop();
  bool has_ended();
  std::uint64_t num_dropped();

 private:
  template <class Push>
  void push(Track track, double duration_seconds, Push push);
  void work();
  void compute(std::uint64_t stream, bool ends);
  bool report_decision(std::uint64_t stream);
  void report_events(std::uint64_t stream);
  void report_trouble(std::uint64_t stream, bool is_fatal);
  bool is_current(std::uint64_t stream);
  // With the lock held.
  void forget();

  std::unique_ptr<cavsync_scorer, ScorerCloser> scorer_;
  Policy policy_;
  Listener listener_;
  // Whether the beginning of an event was reported, and its end was not; used by the thread.
  bool is_event_open_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Pushed since the thread last took what waited.
  std::array<double, kNumTracks> waiting_seconds_{};
  std::array<bool, kNumTracks> is_flushing_{};
  // Whether the track has pushed since the last reset.
  std::array<bool, kNumTracks> has_pushed_{};
  // How much of the track is still taken for the end of an earlier stream.
  std::array<double, kNumTracks> stale_seconds_{};
  // Counts resets: what is computed of an earlier stream is not reported.
  std::uint64_t stream_ = 0;
  // Counts how often the thread has taken what waited.
  std::uint64_t round_ = 0;
  std::uint64_t num_dropped_ = 0;
  bool has_input_ = false;
  bool must_end_ = false;
  bool is_ending_ = false;
  bool has_ended_ = false;
  bool has_failed_ = false;
  bool has_warned_ = false;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace cavsync
