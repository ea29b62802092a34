// Resampling of decoded audio to mono at 16 kHz, with jitter removed from its timestamps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "steady_clock.h"
#include "stereo_mix.h"

extern "C" {
#include <libavutil/channel_layout.h>
#include <libavutil/samplefmt.h>
#include <libswresample/swresample.h>
}

namespace cavsync {

// Mono samples, the first of them played at `pts_seconds`.
struct AudioChunk {
  double pts_seconds;
  std::vector<float> samples;
};

// A piece of decoded audio; it has no timestamp where its container gives none.
struct DecodedAudio {
  int rate_hz;
  const AVChannelLayout* layout;
  AVSampleFormat format;
  const std::uint8_t* const* planes;
  int num_samples;
  std::optional<double> pts_seconds;
};

// The layout with the channels of a mask, such as AV_CH_LAYOUT_MONO.
AVChannelLayout layout_of(std::uint64_t mask);

// libswresample mixes and resamples; stereo is mixed here, because its channels may cancel. Times are the count of
// samples since the last break, because containers round timestamps. Where timestamps stay away from the count, as after
// an edit or a lost packet, the count restarts from them.
class MonoResampler {
 public:
  MonoResampler();
  ~MonoResampler();
  MonoResampler(const MonoResampler&) = delete;
  MonoResampler& operator=(const MonoResampler&) = delete;

  // Resample one piece; nothing comes out while the filter fills. A media error for channels that cannot be mixed.
  std::vector<AudioChunk> push(const DecodedAudio& audio);
  // The audio that the filter still holds; the count restarts with the next piece.
  std::vector<AudioChunk> flush();
  double cancelled_seconds() const { return stereo_.cancelled_seconds(); }

 private:
  struct Free {
    void operator()(SwrContext* context) const { swr_free(&context); }
  };
  using Context = std::unique_ptr<SwrContext, Free>;

  static Context opened(const DecodedAudio& audio, std::uint64_t mask);
  static float mix_gain(const DecodedAudio& audio);
  void open(const DecodedAudio& audio);
  bool is_of_source(const DecodedAudio& audio) const;
  void emit(const std::uint8_t* const* planes, int num_samples, std::vector<AudioChunk>& chunks);
  void add(std::vector<float> found, int count, std::vector<AudioChunk>& chunks);
  double now_seconds() const;

  Context context_;
  int source_rate_hz_ = 0;
  AVSampleFormat source_format_ = AV_SAMPLE_FMT_NONE;
  AVChannelLayout source_layout_{};
  float gain_ = 1.0F;
  bool is_stereo_ = false;
  StereoMix stereo_;
  SteadyClock clock_{0.0};
  double origin_seconds_ = 0.0;
  std::int64_t samples_out_ = 0;
};

}  // namespace cavsync
