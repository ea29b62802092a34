#include "faces/face_engines.h"

#include "error.h"
#include "faces/mouth.h"

namespace cavsync {

FaceEngines::FaceEngines(const std::string& folder, const Manifest& manifest, const EngineOptions& options)
    : folder_(folder),
      spec_(manifest.faces.value()),
      num_mel_bins_(manifest.num_mel_bins),
      widths_(checked_face_widths(folder, spec_, manifest.num_mel_bins)) {
  const auto graph = [&](const char* name) {
    const GraphSpec& spec = spec_.graphs.at(name);
    return open_onnx(folder, spec, manifest.files.at(spec.file), options);
  };
  short_range_ = graph(kShortRange);
  full_range_ = graph(kFullRange);
  mesh_ = graph(kFaceMesh);
  frame_ = graph(kFaceFrameEncoder);
  visual_ = graph(kFaceVisualEncoder);
  audio_ = graph(kFaceAudioEncoder);
}

std::vector<float> FaceEngines::encode_frames(const std::vector<float>& features) const {
  const auto count = static_cast<std::int64_t>(features.size() / kNumFaceFeatures);
  return checked(frame_->run(features, {count, static_cast<std::int64_t>(kNumFaceFeatures)}, "encoded"),
                 {count, widths_.encoded});
}

std::vector<float> FaceEngines::embed_frames(const std::vector<float>& encoded) const {
  const std::int64_t count = static_cast<std::int64_t>(encoded.size()) / widths_.encoded;
  return checked(visual_->run(encoded, {1, count, widths_.encoded}, "embedding"),
                 {1, count - spec_.num_frames + 1, widths_.embedding});
}

std::vector<float> FaceEngines::embed_audio(const std::vector<float>& log_mel, std::int64_t count,
                                            std::int64_t frames) const {
  const std::int64_t moments = (frames - spec_.segment_frames) / spec_.step_frames + 1;
  return checked(audio_->run(log_mel, {count, frames, num_mel_bins_}, "embedding"),
                 {count, moments, widths_.embedding});
}

std::vector<float> FaceEngines::checked(Tensor found, const std::vector<std::int64_t>& shape) const {
  if (found.shape != shape) {
    throw bundle_error("a face graph of " + folder_ +
                       " gives values of another shape than was declared: export the bundle again");
  }
  return std::move(found.values);
}

}  // namespace cavsync
