// A media file read from its first packet to its last.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "mono_resampler.h"
#include "picture.h"
#include "track_choice.h"

namespace cavsync {

// What the container declares; NaN where it declares nothing.
struct MediaInfo {
  std::string container, video_codec, audio_codec;
  double duration_seconds, start_seconds, frame_rate_hz;
  int width, height, audio_rate_hz, audio_channels;
};

// Times are the container's presentation times in seconds since the start that it declares.
class MediaFile {
 public:
  using OnFrame = std::function<void(const Picture&, double pts_seconds)>;
  using OnAudio = std::function<void(const AudioChunk&)>;

  // Open a path, an address, or "-" for standard input, to be decoded on `threads` threads (0: one per core), of which
  // each holds frames. A media error for what cannot be opened.
  MediaFile(const std::string& source, std::optional<int> audio_number, int threads);

  const MediaInfo& info() const { return info_; }
  int audio_number() const { return tracks_.audio_number; }
  // Decode everything, in the order of the packets. A media error where nothing decodes, too much is damaged, or the file
  // ends long before the end that it declares.
  void read(const OnFrame& on_frame, const OnAudio& on_audio);

 private:
  struct Counts {
    std::size_t num_frames = 0, num_audio = 0, num_damaged = 0, num_disordered = 0;
    int container_error = 0;
  };

  void decode(const AVPacket* packet, AVCodecContext* decoder, const std::function<void(const AVFrame&)>& on_decoded);
  void require_times(const AVPacket& packet) const;
  void add_frame(const AVFrame& frame, const OnFrame& on_frame);
  void add_audio(const AVFrame& frame, const OnAudio& on_audio);
  void check_counts() const;

  std::string source_;
  Av<AVFormatContext> container_;
  Tracks tracks_;
  Av<AVCodecContext> video_decoder_, audio_decoder_;
  MediaInfo info_;
  PictureConverter converter_;
  MonoResampler resampler_;
  double next_frame_seconds_ = 0;
  std::optional<double> last_frame_seconds_;
  Counts counts_;
};

}  // namespace cavsync
