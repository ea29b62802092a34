#include "faces/face_manifest.h"

#include "json_record.h"
#include "manifest_specs.h"

namespace cavsync {

FaceSpec face_spec_of(const nlohmann::json& value) {
  JsonRecord record(value, "faces");
  FaceSpec spec;
  for (const char* name : kFaceGraphs) spec.graphs[name] = graph_of(record.entry(name), record.place_of(name));
  spec.frame_rate_hz = record.number("frame_rate_hz", 1, kMaxFrameRateHz);
  spec.num_frames = static_cast<int>(record.whole("num_frames", 1, 1024));
  spec.segment_frames = static_cast<int>(record.whole("segment_frames", 1, 6000));
  spec.step_frames = static_cast<int>(record.whole("step_frames", 1, 6000));
  if (const nlohmann::json* found = record.entry_if_any("calibration")) {
    spec.calibration = calibration_of(*found, record.place_of("calibration"));
  }
  if (const nlohmann::json* found = record.entry_if_any("file_calibration")) {
    spec.file_calibration = calibration_of(*found, record.place_of("file_calibration"));
  }
  record.entry("source");
  record.entry("licences");
  record.finish();
  return spec;
}

}  // namespace cavsync
