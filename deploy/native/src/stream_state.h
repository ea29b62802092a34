// What belongs to one stream of a scorer; a new one begins with a reset.
#pragma once

#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "audio_input.h"
#include "faces/face_file.h"
#include "faces/face_judge.h"
#include "faces/face_path.h"
#include "frame_input.h"
#include "options.h"
#include "row_stream.h"
#include "search.h"
#include "stray.h"
#include "whole_file.h"
#include "window_queue.h"
#include "window_span.h"

namespace cavsync {

struct StreamState {
  // Refers to `options`, which must outlive it.
  StreamState(const std::shared_ptr<const Bundle>& bundle, const Options& options);
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;

  // Add a frame or audio that was accepted.
  void feed_frame(KeptFrame frame, double pts_seconds);
  void feed_audio(const std::vector<float>& samples, double pts_seconds);
  // Compute what is due, and keep the decisions.
  void decide();
  // End the stream.
  void finish();

  // Used by those who push frames.
  FrameInput frame_input;
  StrayFilter<KeptFrame> video_filter{0.0};
  // Used by those who push audio.
  AudioInput audio_input;
  StrayFilter<std::vector<float>> audio_filter{kLongestPacketSeconds};
  // Used by those who compute; the face path and its judge are there where faces are judged, the sums where a summary is
  // wanted.
  Search search;
  RowStream rows;
  std::optional<FacePath> faces;
  std::optional<FaceJudge> face_judge;
  std::optional<WholeFile> whole;
  std::optional<FaceFile> face_file;
  std::vector<Record> records;
  std::deque<Record> waiting;
  bool is_finished = false;
  // What ended the computation, if anything did; then nothing more is computed.
  std::exception_ptr failure;

 private:
  bool is_on_demand() const { return options_.uses_whole && options_.uses_faces && !options_.is_adaptive; }
  void add(std::vector<Window> windows);
  void end_span(int last_epoch, double last_seconds);
  void keep_settled();
  Record judge_whole(const Window& window) const;

  const Manifest& manifest_;
  const Options& options_;
  std::optional<WindowSpan> span_;
  WindowQueue windows_;
};

// Resolution of hops longer than the calibration used; 0 with its own.
double hop_resolution_ms(const Manifest& manifest, const Options& options);
// Smallest resolvable offset with fewer frames or longer hops than the calibration used: the error of a mean over every
// `mean_stride`-th frame grows with the root of `mean_stride`; with a longer hop, the peak may lie anywhere between two
// lags.
double resolution_floor_ms(const Manifest& manifest, const Options& options, double mean_stride);

// The decision about the whole picture where only faces are judged: why it shows nothing.
Record as_without_face(Record record, std::size_t num_rows, const Evidence& evidence);

}  // namespace cavsync
