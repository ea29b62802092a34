// The face graphs of an opened bundle: their interfaces checked, ready to run, shared by all streams.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "manifest.h"
#include "onnx_engine.h"

namespace cavsync {

class FaceEngines {
 public:
  // Check and open the face graphs of the bundle folder, whose manifest has some.
  FaceEngines(const std::string& folder, const Manifest& manifest, const EngineOptions& options);

  const FaceSpec& spec() const { return spec_; }
  int encoded_dim() const { return static_cast<int>(widths_.encoded); }
  int embedding_dim() const { return static_cast<int>(widths_.embedding); }
  const Engine& short_range() const { return *short_range_; }
  const Engine& full_range() const { return *full_range_; }
  const Engine& mesh() const { return *mesh_; }

  // Features of single frames (count, kNumFaceFeatures) -> (count, encoded_dim).
  std::vector<float> encode_frames(const std::vector<float>& features) const;
  // Consecutive encoded frames (n, encoded_dim) -> unit embeddings (n - num_frames + 1, D).
  std::vector<float> embed_frames(const std::vector<float>& encoded) const;
  // Raw log-mel (count, segment_frames + k * step_frames, bins) -> unit embeddings (count, k + 1, D).
  std::vector<float> embed_audio(const std::vector<float>& log_mel, std::int64_t count, std::int64_t frames) const;

 private:
  std::vector<float> checked(Tensor found, const std::vector<std::int64_t>& shape) const;

  std::string folder_;
  FaceSpec spec_;
  std::int64_t num_mel_bins_;
  FaceWidths widths_;
  std::unique_ptr<Engine> short_range_, full_range_, mesh_, frame_, visual_, audio_;
};

}  // namespace cavsync
