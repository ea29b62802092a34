// The manifest of a bundle: what this library needs of it, checked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "faces/face_spec.h"
#include "graph_spec.h"
#include "plain_file.h"

namespace cavsync {

struct SyncSpec {
  double frame_rate_hz = 0;
  double hop_ms = 0;
  double max_offset_ms = 0;
  double window_seconds = 0;
  double decision_step_seconds = 0;
};

constexpr const char* kFrontend = "audio_frontend";
constexpr const char* kAudioEncoder = "audio_encoder";
constexpr const char* kVisualEncoder = "visual_encoder";
constexpr const char* kFrameEncoder = "frame_encoder";

struct Manifest {
  std::string name;
  std::string precision;
  int num_mel_bins = 0;
  int segment_frames = 0;
  int img_size = 0;
  int num_frames = 0;
  double frame_step_seconds = 0;
  SyncSpec sync;
  std::optional<Calibration> calibration;
  std::optional<Calibration> file_calibration;
  // The graphs of the whole picture's path by name; kFrameEncoder only where a bundle has it.
  std::map<std::string, GraphSpec> graphs;
  std::vector<EngineSpec> engines;
  // Files of graphs and engines, used here or not.
  std::vector<std::string> named_files;
  std::map<std::string, FileEntry> files;
  std::optional<FaceSpec> faces;

  bool has_frame_encoder() const { return graphs.count(kFrameEncoder) > 0; }
};

// Read the text of a manifest and check its entries; UnfitError for a fault.
Manifest manifest_of_text(const std::string& text);
// Read the manifest of a bundle folder and check its entries; the folder's other files are not opened.
Manifest read_manifest(const std::string& folder);

}  // namespace cavsync
