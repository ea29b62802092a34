#include "media_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "error.h"
#include "media_error.h"
#include "text.h"
#include "track_ends.h"

namespace cavsync {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Frame period assumed where the container declares no frame rate.
constexpr double kFrameSeconds = 0.04;
constexpr double kMaxDamagedShare = 0.2;
// A splice turns the clock back once; wrong times turn it back again and again.
constexpr double kMaxDisorderedShare = 0.02;
constexpr std::size_t kMinDisordered = 3;
// Rates of a damaged or forged file: one packet at 1 Hz would become hours of audio.
constexpr int kMinRateHz = 100, kMaxRateHz = 6'144'000;

// The form of a source in which FFmpeg reads no protocol into a file's name, as it does into `12:30 meeting.mp4`.
std::string ffmpeg_address(const std::string& source) {
  if (source == "-") return "pipe:0";
  if (source.find("://") != std::string::npos) return source;
  struct stat found {};
  if (stat(source.c_str(), &found) != 0) throw MediaError(source + " does not exist: give the path of a video file");
  if (S_ISDIR(found.st_mode)) throw MediaError(source + " is a folder: give the path of a video file");
  if (S_ISREG(found.st_mode) && found.st_size == 0)
    throw MediaError(source + " is empty (zero bytes): give a complete video file");
  return "file:" + source;
}

// FFmpeg guesses wrong presentation times for pictures that are stored out of order.
bool may_guess_times(const AVFormatContext& container) {
  if (std::string(container.iformat->name) == "avi") return false;
  for (unsigned index = 0; index < container.nb_streams; ++index) {
    const AVCodecID codec = container.streams[index]->codecpar->codec_id;
    if (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_VVC) return false;
  }
  return true;
}

Av<AVFormatContext> opened(const std::string& source) {
  AVFormatContext* context = nullptr;
  int failure = avformat_open_input(&context, ffmpeg_address(source).c_str(), nullptr, nullptr);
  Av<AVFormatContext> container(context);
  if (failure >= 0) failure = avformat_find_stream_info(context, nullptr);
  if (failure < 0) {
    throw MediaError(source + " cannot be opened as audio-visual media (" + av_reason(failure) +
                     "): give a complete file that FFmpeg reads");
  }
  if (may_guess_times(*context)) context->flags |= AVFMT_FLAG_GENPTS;
  return container;
}

Av<AVCodecContext> decoder_of(const AVStream& track, const std::string& source, int threads) {
  const AVCodec* codec = avcodec_find_decoder(track.codecpar->codec_id);
  Av<AVCodecContext> decoder(avcodec_alloc_context3(codec));
  if (!decoder || avcodec_parameters_to_context(decoder.get(), track.codecpar) < 0) throw std::bad_alloc();
  decoder->pkt_timebase = track.time_base;
  decoder->thread_count = threads;
  if (const int failure = avcodec_open2(decoder.get(), codec, nullptr); failure < 0) {
    throw MediaError(source + " has a track that cannot be decoded (" + av_reason(failure) + "): convert it");
  }
  return decoder;
}

MediaInfo described(const AVFormatContext& container, const AVStream& video_track, const AVCodecContext& video,
                    const AVCodecContext& audio) {
  const AVRational rate = video_track.avg_frame_rate.num > 0 ? video_track.avg_frame_rate : video_track.r_frame_rate;
  MediaInfo info;
  info.container = container.iformat->name;
  info.video_codec = video.codec->name;
  info.audio_codec = audio.codec->name;
  info.duration_seconds = container.duration == AV_NOPTS_VALUE ? kNaN : seconds_of(container.duration, AV_TIME_BASE_Q);
  info.start_seconds = container.start_time == AV_NOPTS_VALUE ? 0 : seconds_of(container.start_time, AV_TIME_BASE_Q);
  info.frame_rate_hz = rate.num > 0 ? static_cast<double>(rate.num) / rate.den : kNaN;
  info.width = video.width;
  info.height = video.height;
  info.audio_rate_hz = audio.sample_rate;
  info.audio_channels = audio.ch_layout.nb_channels;
  return info;
}

}  // namespace

MediaFile::MediaFile(const std::string& source, std::optional<int> audio_number, int threads)
    : source_(source),
      container_(opened(source)),
      tracks_(choose_tracks(*container_, source, audio_number)),
      video_decoder_(decoder_of(*tracks_.video, source, threads)),
      audio_decoder_(decoder_of(*tracks_.audio, source, threads)),
      info_(described(*container_, *tracks_.video, *video_decoder_, *audio_decoder_)),
      converter_(*tracks_.video) {}

void MediaFile::read(const OnFrame& on_frame, const OnAudio& on_audio) {
  const Av<AVPacket> packet(av_packet_alloc());
  TrackEnds ends(*container_);
  const auto on_picture = [&](const AVFrame& frame) { add_frame(frame, on_frame); };
  const auto on_sound = [&](const AVFrame& frame) { add_audio(frame, on_audio); };
  int failure = 0;
  while ((failure = av_read_frame(container_.get(), packet.get())) >= 0) {
    ends.add(*packet);
    if (packet->stream_index == tracks_.video->index) {
      require_times(*packet);
      decode(packet.get(), video_decoder_.get(), on_picture);
    } else if (packet->stream_index == tracks_.audio->index) {
      decode(packet.get(), audio_decoder_.get(), on_sound);
    }
    av_packet_unref(packet.get());
  }
  if (failure != AVERROR_EOF) counts_.container_error = failure;
  decode(nullptr, video_decoder_.get(), on_picture);
  decode(nullptr, audio_decoder_.get(), on_sound);
  for (const AudioChunk& chunk : resampler_.flush()) on_audio(chunk);
  check_counts();
  ends.require_whole({tracks_.video, tracks_.audio}, source_);
}

// Hand a packet, or the end, to a decoder, and take what comes out.
void MediaFile::decode(const AVPacket* packet, AVCodecContext* decoder,
                       const std::function<void(const AVFrame&)>& on_decoded) {
  const Av<AVFrame> frame(av_frame_alloc());
  int failure = avcodec_send_packet(decoder, packet);
  while (failure >= 0) {
    failure = avcodec_receive_frame(decoder, frame.get());
    if (failure < 0) break;
    on_decoded(*frame);
    av_frame_unref(frame.get());
  }
  counts_.num_damaged += failure < 0 && failure != AVERROR(EAGAIN) && failure != AVERROR_EOF;
}

// Pictures without presentation times are shown in another order than they are stored.
void MediaFile::require_times(const AVPacket& packet) const {
  if (counts_.num_frames > 0 || packet.size == 0 || packet.pts != AV_NOPTS_VALUE || packet.dts == AV_NOPTS_VALUE)
    return;
  throw MediaError(source_ + " holds decoding times only, which this program does not reorder: use `cavsync score`");
}

void MediaFile::add_frame(const AVFrame& frame, const OnFrame& on_frame) {
  const double period_seconds = info_.frame_rate_hz > 0 ? 1 / info_.frame_rate_hz : kFrameSeconds;
  // A frame without a timestamp is placed one nominal period after the one before.
  const double seconds = frame.pts == AV_NOPTS_VALUE
                             ? next_frame_seconds_
                             : seconds_of(frame.pts, tracks_.video->time_base) - info_.start_seconds;
  next_frame_seconds_ = seconds + period_seconds;
  ++counts_.num_frames;
  counts_.num_disordered += last_frame_seconds_ && seconds < *last_frame_seconds_;
  last_frame_seconds_ = seconds;
  on_frame(converter_.converted(frame), seconds);
}

void MediaFile::add_audio(const AVFrame& frame, const OnAudio& on_audio) {
  ++counts_.num_audio;
  if (frame.sample_rate < kMinRateHz || frame.sample_rate > kMaxRateHz) {
    throw MediaError(format("%s: the audio has %d samples a second, expected %d to %d: give an undamaged file",
                            source_.c_str(), frame.sample_rate, kMinRateHz, kMaxRateHz));
  }
  std::optional<double> seconds;
  if (frame.pts != AV_NOPTS_VALUE) seconds = seconds_of(frame.pts, tracks_.audio->time_base) - info_.start_seconds;
  const DecodedAudio audio{frame.sample_rate,   &frame.ch_layout, static_cast<AVSampleFormat>(frame.format),
                           frame.extended_data, frame.nb_samples, seconds};
  for (const AudioChunk& chunk : resampler_.push(audio)) on_audio(chunk);
}

void MediaFile::check_counts() const {
  const auto& [num_frames, num_audio, num_damaged, num_disordered, container_error] = counts_;
  for (const auto& [kind, count] : {std::pair("video", num_frames), std::pair("audio", num_audio)}) {
    if (count == 0)
      throw MediaError(source_ + " has a " + kind + " track of which nothing decodes: give a complete file");
  }
  const std::size_t total = num_frames + num_audio + num_damaged;
  if (static_cast<double>(num_damaged) > kMaxDamagedShare * static_cast<double>(total)) {
    throw MediaError(format("%s is corrupt (%zu of %zu packets do not decode): give an undamaged file", source_.c_str(),
                            num_damaged, total));
  }
  if (container_error != 0)
    throw MediaError(source_ + " breaks off (" + av_reason(container_error) + "): give a complete file");
  if (num_disordered >= kMinDisordered &&
      static_cast<double>(num_disordered) >= kMaxDisorderedShare * static_cast<double>(num_frames)) {
    throw MediaError(
        format("%s gives its frames times that contradict their order (%zu of %zu), so no offset can be "
               "measured: make the file again from its source",
               source_.c_str(), num_disordered, num_frames));
  }
}

}  // namespace cavsync
