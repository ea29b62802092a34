// The streaming scorer: frames and audio in, in pieces of any size; decisions out.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "audio_input.h"
#include "frame_input.h"
#include "inbox.h"
#include "options.h"
#include "row_stream.h"
#include "stray.h"
#include "whole_file.h"
#include "window_span.h"

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
  std::vector<cavsync_event> events;
};

// One decision every `decision_step_seconds` once the first window is full. Pushing copies, converts and resizes;
// `process` computes. Results depend neither on how the stream was cut into pieces nor on when `process` is called.
class Scorer {
 public:
  Scorer(std::shared_ptr<const Bundle> bundle, Options options);

  void push_video(const cavsync_frame& frame, double pts_seconds);
  void push_audio(const PushedAudio& audio);
  // Compute what is due; at most `capacity` decisions, in order.
  std::vector<Record> process(std::size_t capacity);
  std::size_t drop_oldest(double keep_seconds) { return inbox_.drop_oldest(keep_seconds); }
  void flush();
  void reset();
  Summary summary();

 private:
  // What belongs to one stream; a new one begins with a reset.
  struct Stream {
    Stream(const std::shared_ptr<const Bundle>& bundle, const Options& options);

    // Used by those who push frames.
    FrameInput frame_input;
    StrayFilter<std::vector<std::uint8_t>> video_filter{0.0};
    // Used by those who push audio.
    AudioInput audio_input;
    StrayFilter<std::vector<float>> audio_filter{kLongestPacketSeconds};
    // Used by those who compute.
    RowStream rows;
    std::optional<WindowSpan> span;
    std::optional<WholeFile> whole;
    std::vector<Record> records;
    std::deque<Record> waiting;
    bool is_finished = false;
    std::string failure;
  };

  void add_audio(const std::vector<AudioChunk>& chunks);
  void compute();
  void feed(InboxItem& item);
  void decide();
  void judge_windows(const std::vector<Window>& windows);
  double resolution_floor_ms() const;
  void check_open() const;

  std::shared_ptr<const Bundle> bundle_;
  Options options_;
  Inbox inbox_;
  std::unique_ptr<Stream> stream_;
  // One for each kind of caller; taken in this order by those that need several.
  std::mutex video_mutex_, audio_mutex_, compute_mutex_;
};

}  // namespace cavsync
