#include "bundle.h"

#include "align.h"
#include "bundle_checks.h"
#include "engines.h"
#include "error.h"
#include "text.h"

namespace cavsync {

std::shared_ptr<const Bundle> Bundle::open(const std::string& folder, const EngineOptions& options) {
  Manifest manifest = read_manifest(folder);
  verify_files(folder, manifest);
  return std::shared_ptr<const Bundle>(new Bundle(folder, std::move(manifest), options));
}

Bundle::Bundle(std::string folder, Manifest manifest, const EngineOptions& options)
    : folder_(std::move(folder)),
      manifest_(std::move(manifest)),
      embedding_dim_(checked_embedding_dim(folder_, manifest_)) {
  const EngineChoice choice = choose_engine(folder_, manifest_, options);
  engine_ = choice.runtime + ":" + choice.precision;
  if (choice.runtime == kOnnxRuntime) provider_ = choice.options.provider;
  const auto graph = [&](const char* name) { return open_engine(folder_, manifest_, name, choice); };
  frontend_ = graph(kFrontend);
  audio_ = graph(kAudioEncoder);
  visual_ = graph(kVisualEncoder);
  if (manifest_.has_frame_encoder()) pairs_ = graph(kFrameEncoder);
  // As in Python: ONNX Runtime on the CPU computes the face graphs, whatever computes the encoders.
  face_options_.threads = options.threads;
  if (manifest_.faces) checked_face_widths(folder_, *manifest_.faces, manifest_.num_mel_bins);
}

// Not when the bundle is opened: whoever judges the whole picture alone needs neither their memory nor their time.
const FaceEngines& Bundle::faces() const {
  const std::lock_guard lock(faces_mutex_);
  if (!faces_) faces_ = std::make_unique<FaceEngines>(folder_, manifest_, face_options_);
  return *faces_;
}

std::vector<float> Bundle::log_mel(const std::vector<float>& waveform) const {
  const auto num_samples = static_cast<std::int64_t>(waveform.size());
  Tensor found = frontend_->run(waveform, {1, num_samples}, "log_mel");
  const std::int64_t expected = num_log_mel_frames(num_samples);
  if (found.shape.size() != 3 || found.shape[1] != expected || found.shape[2] != manifest_.num_mel_bins) {
    throw bundle_error(
        format("%s gives log-mel of another length for %lld samples, %lld frames were expected (no "
               "padding): export the bundle again",
               folder_.c_str(), static_cast<long long>(num_samples), static_cast<long long>(expected)));
  }
  return std::move(found.values);
}

std::vector<float> Bundle::embed_audio(const std::vector<float>& segments, std::int64_t count) const {
  return checked(audio_->run(segments, {count, manifest_.segment_frames, manifest_.num_mel_bins}, "embedding"), count);
}

std::vector<float> Bundle::embed_frames(const std::vector<Tubelet>& tubelets) const {
  const auto count = static_cast<std::int64_t>(tubelets.size());
  if (pairs_) {
    const Tensor features = features_of_pairs(tubelets);
    return checked(visual_->run(features.values, features.shape, "embedding"), count);
  }
  std::vector<std::uint8_t> pixels;
  pixels.reserve(tubelets.size() * static_cast<std::size_t>(manifest_.num_frames * frame_bytes()));
  for (const Tubelet& tubelet : tubelets) {
    for (const FramePointer& frame : tubelet) pixels.insert(pixels.end(), frame->pixels.begin(), frame->pixels.end());
  }
  const std::int64_t size = manifest_.img_size;
  return checked(visual_->run(pixels, {count, manifest_.num_frames, size, size, 3}, "embedding"), count);
}

void Bundle::add_missing_features(const std::vector<Tubelet>& tubelets) const {
  std::map<std::pair<std::int64_t, std::int64_t>, std::pair<FramePointer, FramePointer>> missing;
  for (const Tubelet& tubelet : tubelets) {
    for (std::size_t place = 1; place < tubelet.size(); ++place) {
      const FramePointer &before = tubelet[place - 1], &after = tubelet[place];
      if (after->features.count(before->number) == 0) missing[{before->number, after->number}] = {before, after};
    }
  }
  if (missing.empty()) return;
  std::vector<std::uint8_t> pixels;
  pixels.reserve(missing.size() * static_cast<std::size_t>(2 * frame_bytes()));
  for (const auto& [numbers, pair] : missing) {
    pixels.insert(pixels.end(), pair.first->pixels.begin(), pair.first->pixels.end());
    pixels.insert(pixels.end(), pair.second->pixels.begin(), pair.second->pixels.end());
  }
  const std::int64_t size = manifest_.img_size;
  const Tensor found = pairs_->run(pixels, {static_cast<std::int64_t>(missing.size()), 2, size, size, 3}, "features");
  if (found.shape.empty() || found.shape[0] != static_cast<std::int64_t>(missing.size())) {
    throw bundle_error(folder_ + " gives features of another number of pairs: export the bundle again");
  }
  const auto width = static_cast<std::ptrdiff_t>(found.values.size() / missing.size());
  auto start = found.values.begin();
  for (const auto& [numbers, pair] : missing) {
    pair.second->features[numbers.first].assign(start, start + width);
    start += width;
  }
}

Tensor Bundle::features_of_pairs(const std::vector<Tubelet>& tubelets) const {
  add_missing_features(tubelets);
  Tensor features;
  for (const Tubelet& tubelet : tubelets) {
    for (std::size_t place = 1; place < tubelet.size(); ++place) {
      const std::vector<float>& found = tubelet[place]->features.at(tubelet[place - 1]->number);
      if (features.values.empty()) features.values.reserve(tubelets.size() * (tubelet.size() - 1) * found.size());
      features.values.insert(features.values.end(), found.begin(), found.end());
    }
  }
  const TensorSpec& input = manifest_.graphs.at(kVisualEncoder).inputs.at(0);
  features.shape = input.shape;
  features.shape[0] = static_cast<std::int64_t>(tubelets.size());
  std::int64_t expected = 1;
  for (const std::int64_t size : features.shape) expected *= size;
  if (expected != static_cast<std::int64_t>(features.values.size())) {
    throw bundle_error(folder_ + " gives features of another size than declared: export the bundle again");
  }
  return features;
}

std::vector<float> Bundle::checked(Tensor embeddings, std::int64_t count) const {
  if (embeddings.shape != std::vector<std::int64_t>{count, embedding_dim_}) {
    throw bundle_error(
        format("%s gives embeddings of another shape than (%lld, %d), which was declared: export the "
               "bundle again",
               folder_.c_str(), static_cast<long long>(count), embedding_dim_));
  }
  return std::move(embeddings.values);
}

std::shared_ptr<const AudioEncoder> audio_encoder_of(std::shared_ptr<const Bundle> bundle) {
  const Manifest& manifest = bundle->manifest();
  return std::make_shared<const AudioEncoder>(AudioEncoder{
      manifest.segment_frames, manifest.num_mel_bins, bundle->embedding_dim(), 0,
      [bundle](const std::vector<float>& waveform) { return bundle->log_mel(waveform); },
      [bundle](const std::vector<float>& log_mel, std::int64_t count, std::int64_t) {
        return bundle->embed_audio(log_mel, count);
      }});
}

std::shared_ptr<const AudioEncoder> face_audio_encoder_of(std::shared_ptr<const Bundle> bundle) {
  const FaceEngines& faces = bundle->faces();
  return std::make_shared<const AudioEncoder>(AudioEncoder{
      faces.spec().segment_frames, bundle->manifest().num_mel_bins, faces.embedding_dim(), faces.spec().step_frames,
      [bundle](const std::vector<float>& waveform) { return bundle->log_mel(waveform); },
      [bundle](const std::vector<float>& log_mel, std::int64_t count, std::int64_t frames) {
        return bundle->faces().embed_audio(log_mel, count, frames);
      }});
}

}  // namespace cavsync
