// The face path of a bundle, as its manifest describes it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "graph_spec.h"

namespace cavsync {

constexpr const char* kShortRange = "face_detector_short_range";
constexpr const char* kFullRange = "face_detector_full_range";
constexpr const char* kFaceMesh = "face_mesh";
constexpr const char* kFaceFrameEncoder = "face_frame_encoder";
constexpr const char* kFaceVisualEncoder = "face_visual_encoder";
constexpr const char* kFaceAudioEncoder = "face_audio_encoder";
constexpr std::array<const char*, 6> kFaceGraphs = {kShortRange,       kFullRange,         kFaceMesh,
                                                    kFaceFrameEncoder, kFaceVisualEncoder, kFaceAudioEncoder};

// `face_visual_encoder` embeds each `num_frames` consecutive encoded frames at `frame_rate_hz`, `face_audio_encoder`
// each `segment_frames` log-mel frames that start `step_frames` apart. `calibration` is for windows, `file_calibration`
// for whole files.
struct FaceSpec {
  std::map<std::string, GraphSpec> graphs;
  double frame_rate_hz = 0;
  int num_frames = 0;
  int segment_frames = 0;
  int step_frames = 0;
  std::optional<Calibration> calibration;
  std::optional<Calibration> file_calibration;
};

// Widths of encoded frames and of embeddings.
struct FaceWidths {
  std::int64_t encoded = 0;
  std::int64_t embedding = 0;
};

// Check names, shapes and types of the graphs; a bundle error for others than the face path needs.
FaceWidths checked_face_widths(const std::string& folder, const FaceSpec& spec, int num_mel_bins);

}  // namespace cavsync
