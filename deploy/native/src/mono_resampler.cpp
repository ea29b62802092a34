#include "mono_resampler.h"

#include <cmath>
#include <limits>
#include <string>

#include "align.h"
#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr int kSpareRoom = 64;
constexpr int kMaxRoom = std::numeric_limits<int>::max() - kSpareRoom;

Error not_resampled(int num_samples) {
  return media_error(
      format("%d samples of audio cannot be resampled at once: give shorter pieces, or convert it", num_samples));
}

std::string name_of(const AVChannelLayout& layout) {
  char name[64] = "";
  av_channel_layout_describe(&layout, name, sizeof name);
  return name;
}

bool is_two_channels(const AVChannelLayout& layout) {
  const std::string name = name_of(layout);
  return name == "stereo" || name == "2 channels" || name == "downmix";
}

}  // namespace

AVChannelLayout layout_of(std::uint64_t mask) {
  AVChannelLayout layout{};
  av_channel_layout_from_mask(&layout, mask);
  return layout;
}

MonoResampler::MonoResampler() : stereo_(kSampleRateHz) {}

MonoResampler::~MonoResampler() { av_channel_layout_uninit(&source_layout_); }

std::vector<AudioChunk> MonoResampler::push(const DecodedAudio& audio) {
  std::vector<AudioChunk> chunks;
  const bool is_break = audio.pts_seconds && !clock_.follows(*audio.pts_seconds);
  if (context_ && (is_break || !is_of_source(audio))) chunks = flush();
  if (!context_) {
    open(audio);
    origin_seconds_ = audio.pts_seconds.value_or(now_seconds());
    clock_ = SteadyClock(origin_seconds_);
    samples_out_ = 0;
  }
  clock_.advance(audio.pts_seconds, static_cast<double>(audio.num_samples) / audio.rate_hz);
  emit(audio.planes, audio.num_samples, chunks);
  return chunks;
}

std::vector<AudioChunk> MonoResampler::flush() {
  std::vector<AudioChunk> chunks;
  if (!context_) return chunks;
  emit(nullptr, 0, chunks);
  origin_seconds_ = now_seconds();
  samples_out_ = 0;
  context_.reset();
  return chunks;
}

MonoResampler::Context MonoResampler::opened(const DecodedAudio& audio, std::uint64_t mask) {
  AVChannelLayout layout = layout_of(mask);
  SwrContext* context = nullptr;
  // FFmpeg 5's declarations lack the `const`.
  const int failure =
      swr_alloc_set_opts2(&context, &layout, AV_SAMPLE_FMT_FLT, kSampleRateHz,
                          const_cast<AVChannelLayout*>(audio.layout), audio.format, audio.rate_hz, 0, nullptr);
  Context found(context);
  if (failure < 0 || swr_init(context) < 0) {
    throw media_error(format("audio of %s at %d Hz cannot be mixed to one channel: convert it",
                             name_of(*audio.layout).c_str(), audio.rate_hz));
  }
  return found;
}

// The gain that makes the mixing weights of a layout's channels add up to one: in floating point libswresample lets them
// add up to more. The sum is measured by mixing a constant.
float MonoResampler::mix_gain(const DecodedAudio& audio) {
  constexpr int num_samples = 64;
  const std::vector<float> ones(static_cast<std::size_t>(num_samples * audio.layout->nb_channels), 1.0F);
  const auto* plane = reinterpret_cast<const std::uint8_t*>(ones.data());
  const DecodedAudio constant{kSampleRateHz, audio.layout, AV_SAMPLE_FMT_FLT, &plane, num_samples, std::nullopt};
  const Context context = opened(constant, AV_CH_LAYOUT_MONO);
  std::vector<float> mixed(num_samples, 0.0F);
  auto* target = reinterpret_cast<std::uint8_t*>(mixed.data());
  swr_convert(context.get(), &target, num_samples, const_cast<const std::uint8_t**>(&plane), num_samples);
  // A channel for low frequencies alone is left out of a mix.
  return mixed.front() == 0.0F ? 1.0F : 1.0F / mixed.front();
}

// Open the filter for a source, and set what its output needs to become mono.
void MonoResampler::open(const DecodedAudio& audio) {
  is_stereo_ = is_two_channels(*audio.layout);
  gain_ = is_stereo_ ? 1.0F : mix_gain(audio);
  context_ = opened(audio, is_stereo_ ? AV_CH_LAYOUT_STEREO : AV_CH_LAYOUT_MONO);
  source_rate_hz_ = audio.rate_hz;
  source_format_ = audio.format;
  av_channel_layout_copy(&source_layout_, audio.layout);
}

bool MonoResampler::is_of_source(const DecodedAudio& audio) const {
  return audio.rate_hz == source_rate_hz_ && audio.format == source_format_ &&
         av_channel_layout_compare(audio.layout, &source_layout_) == 0;
}

void MonoResampler::emit(const std::uint8_t* const* planes, int num_samples, std::vector<AudioChunk>& chunks) {
  // Put back at the end: after an error the next piece begins anew with its own time, else it would lie where the lost one
  // was.
  Context context = std::move(context_);
  const int due = swr_get_out_samples(context.get(), num_samples);
  if (due < 0 || due > kMaxRoom) throw not_resampled(num_samples);
  const int room = due + kSpareRoom;
  std::vector<float> found(static_cast<std::size_t>(room) * (is_stereo_ ? 2 : 1));
  auto* target = reinterpret_cast<std::uint8_t*>(found.data());
  const int count = swr_convert(context.get(), &target, room, const_cast<const std::uint8_t**>(planes), num_samples);
  if (count < 0) throw not_resampled(num_samples);
  if (count > 0) add(std::move(found), count, chunks);
  context_ = std::move(context);
}

void MonoResampler::add(std::vector<float> found, int count, std::vector<AudioChunk>& chunks) {
  AudioChunk chunk{now_seconds(), {}};
  if (is_stereo_) {
    chunk.samples = stereo_.mix(found.data(), static_cast<std::size_t>(count));
  } else {
    found.resize(static_cast<std::size_t>(count));
    for (float& sample : found) sample *= gain_;
    chunk.samples = std::move(found);
  }
  samples_out_ += count;
  chunks.push_back(std::move(chunk));
}

double MonoResampler::now_seconds() const {
  return origin_seconds_ + static_cast<double>(samples_out_) / kSampleRateHz;
}

}  // namespace cavsync
