// An opened bundle: its files checked against the manifest, its graphs ready to run. It keeps no state of a stream.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "audio_encoder.h"
#include "faces/face_engines.h"
#include "manifest.h"
#include "onnx_engine.h"

namespace cavsync {

// A resized frame of one stream: pixels (S, S, 3), and its number, unique in the stream.
struct SmallFrame {
  std::int64_t number = 0;
  std::vector<std::uint8_t> pixels;
  // The features of its pairs with earlier frames, by the earlier frame's number.
  std::map<std::int64_t, std::vector<float>> features;
};
using FramePointer = std::shared_ptr<SmallFrame>;
using Tubelet = std::vector<FramePointer>;

class Bundle {
 public:
  static std::shared_ptr<const Bundle> open(const std::string& folder, const EngineOptions& options);

  const Manifest& manifest() const { return manifest_; }
  int embedding_dim() const { return embedding_dim_; }
  // 16 kHz samples (n) -> raw log-mel (frames, bins), frames = (n - 400) / 160 + 1.
  std::vector<float> log_mel(const std::vector<float>& waveform) const;
  // Raw log-mel (count, segment_frames, bins) -> unit embeddings (count, D).
  std::vector<float> embed_audio(const std::vector<float>& segments, std::int64_t count) const;
  // Tubelets of one stream -> unit embeddings (count, D). Each pair of a stream's frames is computed once where the
  // bundle has a frame encoder.
  std::vector<float> embed_frames(const std::vector<Tubelet>& tubelets) const;
  // What computes the encoders, as in "openvino:int8", and the provider where that is ONNX Runtime.
  const std::string& engine() const { return engine_; }
  const std::string& provider() const { return provider_; }
  // What computes the face path, which the bundle must have; opened by the first call. A bundle error if that fails.
  const FaceEngines& faces() const;

 private:
  Bundle(std::string folder, Manifest manifest, const EngineOptions& options);
  std::vector<float> checked(Tensor embeddings, std::int64_t count) const;
  Tensor features_of_pairs(const std::vector<Tubelet>& tubelets) const;
  void add_missing_features(const std::vector<Tubelet>& tubelets) const;
  std::int64_t frame_bytes() const { return 3 * std::int64_t{manifest_.img_size} * manifest_.img_size; }

  std::string folder_;
  Manifest manifest_;
  int embedding_dim_;
  std::string engine_, provider_;
  std::unique_ptr<Engine> frontend_, audio_, visual_, pairs_;
  EngineOptions face_options_;
  mutable std::mutex faces_mutex_;
  mutable std::unique_ptr<FaceEngines> faces_;
};

// The audio encoder of the whole picture's path, and of the face path, which the bundle must have.
std::shared_ptr<const AudioEncoder> audio_encoder_of(std::shared_ptr<const Bundle> bundle);
std::shared_ptr<const AudioEncoder> face_audio_encoder_of(std::shared_ptr<const Bundle> bundle);

}  // namespace cavsync
