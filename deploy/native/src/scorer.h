// The streaming scorer: frames and audio in, in pieces of any size; decisions out.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "events.h"
#include "inbox.h"
#include "stream_state.h"

namespace cavsync {

struct Summary {
  Record score;
  Limits limits;
  double duration_seconds;
  std::optional<double> drift_ms_per_minute;
  std::optional<double> worst_offset_ms;
  double undetermined_share;
  std::size_t num_windows;
  std::size_t num_ignored_frames;
  // Share of the windows judged by a face, and the most faces in one frame.
  double face_share;
  int num_faces;
  std::vector<cavsync_event> events;
};

// One decision every `decision_step_seconds` once the first window is full. Pushing copies, converts and resizes;
// `process` computes. Results depend neither on how the stream was cut into pieces nor on when `process` is called.
class Scorer {
 public:
  Scorer(std::shared_ptr<const Bundle> bundle, Options options);
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  void push_video(const cavsync_frame& frame, double pts_seconds);
  void push_audio(const PushedAudio& audio);
  // Compute what is due; at most `capacity` decisions, in order. After a failure, those that were made before it, and
  // once none is left, the failure again.
  std::vector<Record> process(std::size_t capacity);
  // At most `capacity` beginnings and ends of events that the decisions taken so far have caused, in order.
  std::vector<cavsync_event_change> take_events(std::size_t capacity);
  std::size_t drop_oldest(double keep_seconds) { return inbox_.drop_oldest(keep_seconds); }
  void flush();
  void reset();
  Summary summary();

 private:
  void add_audio(const std::vector<AudioChunk>& chunks);
  // Run what changes the stream, and keep what it throws: nothing more is computed until a reset.
  template <class Action>
  void compute(Action action);
  void feed_waiting();
  void require_success() const;
  void follow_events(const std::vector<Record>& taken);
  void keep_changes(const std::vector<cavsync_event_change>& changes);
  void check_open() const;

  std::shared_ptr<const Bundle> bundle_;
  Options options_;
  Inbox inbox_;
  std::unique_ptr<StreamState> stream_;
  // One for each kind of caller; taken in this order by those that need several.
  std::mutex video_mutex_, audio_mutex_, compute_mutex_;
  // Of the decisions that were taken; used by those who compute.
  EventTracker tracker_;
  std::mutex changes_mutex_;
  std::deque<cavsync_event_change> changes_;
};

}  // namespace cavsync
