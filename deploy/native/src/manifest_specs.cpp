#include "manifest_specs.h"

#include <cmath>
#include <set>

#include "faces/face_manifest.h"
#include "json_record.h"
#include "text.h"

namespace cavsync {

using nlohmann::json;

namespace {

constexpr std::int64_t kMaxNumber = 1'000'000'000'000'000'000;
constexpr double kMaxWeight = 1e9;
constexpr std::int64_t kMaxFrameBytes = 1 << 26;
constexpr std::int64_t kMaxTensorSize = std::int64_t{1} << 31;
constexpr std::int64_t kMaxFileBytes = std::int64_t{16} << 30;
constexpr std::size_t kMaxFiles = 256;
constexpr std::size_t kMaxDimensions = 8;
const std::vector<std::string> kPrecisions = {"fp32", "fp16", "bf16", "fp8", "int8"};
const std::vector<std::string> kRuntimes = {"onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"};
// Sizes that the model's configuration may state, which must be those of the graphs.
struct ModelSize {
  const char* name;
  int Manifest::*size;
};
const ModelSize kModelSizes[] = {{"audio_length", &Manifest::segment_frames},
                                 {"img_size", &Manifest::img_size},
                                 {"num_frames", &Manifest::num_frames}};

SyncSpec sync_of(const json& value) {
  JsonRecord record(value, "sync");
  SyncSpec sync;
  sync.frame_rate_hz = record.number("frame_rate_hz", 0, kMaxFrameRateHz, true);
  sync.hop_ms = record.number("hop_ms", 0, kMaxOffsetMs, true);
  if (!is_whole_hop(sync.hop_ms)) record.refuse("hop_ms", format("should be a multiple of %g", kHopUnitMs));
  sync.max_offset_ms = record.number("max_offset_ms", 0, kMaxOffsetMs);
  sync.window_seconds = record.number("window_seconds", 0, kMaxWindowSeconds, true);
  sync.decision_step_seconds = record.number("decision_step_seconds", 0.001, 3600);
  record.finish();
  if (const std::string fault = fault_of_grid(sync); !fault.empty()) throw UnfitError("declares sync, which " + fault);
  return sync;
}

// Default values are those of the format: a manifest may leave these entries out.
int mel_bins_of(const json& value) {
  JsonRecord record(value, "frontend");
  const std::pair<const char*, int> fixed[] = {
      {"sample_rate_hz", 16'000}, {"frame_length_samples", 400}, {"frame_shift_samples", 160}};
  for (const auto& [name, size] : fixed) {
    if (record.has(name)) record.whole(name, size, size);
  }
  const int bins = record.has("num_mel_bins") ? static_cast<int>(record.whole("num_mel_bins", 1, 2048)) : 128;
  record.finish();
  return bins;
}

bool stays_inside(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == std::string::npos &&
         name.size() <= kMaxNameBytes;
}

std::map<std::string, FileEntry> files_of(const json& value) {
  if (!value.is_object() || value.size() > kMaxFiles) {
    throw UnfitError(format("declares files, which should be an object of at most %zu entries", kMaxFiles));
  }
  std::map<std::string, FileEntry> files;
  for (const auto& [name, entry] : value.items()) {
    if (!stays_inside(name)) {
      throw UnfitError("has the entry '" + plain(name) +
                       "' in files, which should name a plain file inside the bundle");
    }
    JsonRecord record(entry, "files['" + plain(name) + "']");
    files[name] = {record.text("sha256"), record.whole("size_bytes", 0, kMaxFileBytes)};
    record.finish();
  }
  return files;
}

std::vector<EngineSpec> engines_of(const json& list) {
  if (!list.is_array()) throw UnfitError("declares engines, which should be a list");
  std::vector<EngineSpec> engines;
  for (const json& value : list) {
    JsonRecord record(value, "engines[]");
    EngineSpec engine;
    engine.graph = record.word("graph", {kFrontend, kAudioEncoder, kVisualEncoder, kFrameEncoder});
    engine.runtime = record.word("runtime", kRuntimes);
    engine.precision = record.word("precision", kPrecisions);
    engine.file = record.text("file");
    if (record.has("companions")) engine.companions = record.texts("companions");
    record.finish();
    engines.push_back(std::move(engine));
  }
  return engines;
}

void read_inputs(JsonRecord& record, Manifest& manifest) {
  JsonRecord audio(record.entry("audio"), "audio");
  manifest.segment_frames = static_cast<int>(audio.whole("segment_frames", 1, 6000));
  audio.number("mean", -static_cast<double>(kMaxNumber), static_cast<double>(kMaxNumber));
  audio.number("std", -static_cast<double>(kMaxNumber), static_cast<double>(kMaxNumber));
  audio.finish();
  JsonRecord visual(record.entry("visual"), "visual");
  manifest.img_size = static_cast<int>(visual.whole("img_size", 1, 4096));
  manifest.num_frames = static_cast<int>(visual.whole("num_frames", 1, 1024));
  manifest.frame_step_seconds = visual.number("frame_step_seconds", 0, 10);
  visual.finish();
  const std::int64_t side = manifest.img_size;
  if (3 * manifest.num_frames * side * side > kMaxFrameBytes) {
    throw UnfitError(format("declares visual, which should take at most %lld bytes of frames at a time",
                            static_cast<long long>(kMaxFrameBytes)));
  }
}

void check_model(const json& model, const Manifest& manifest) {
  if (!model.is_object()) throw UnfitError("declares model, which should be an object");
  for (const ModelSize& size : kModelSizes) {
    const auto found = model.find(size.name);
    if (found != model.end() && (!found->is_number_integer() || found->get<std::int64_t>() != manifest.*size.size)) {
      throw UnfitError(
          format("declares model.%s, which should be %d as in its graphs", size.name, manifest.*size.size));
    }
  }
}

}  // namespace

std::vector<TensorSpec> tensors_of(const json& list, const std::string& place) {
  if (!list.is_array()) throw UnfitError("declares " + place + ", which should be a list");
  std::vector<TensorSpec> tensors;
  for (const json& value : list) {
    JsonRecord record(value, format("%s[%zu]", place.c_str(), tensors.size()));
    TensorSpec tensor;
    tensor.name = record.text("name");
    tensor.dtype = record.word("dtype", {"float32", "float16", "uint8"});
    const json& shape = record.entry("shape");
    if (!shape.is_array() || shape.empty() || shape.size() > kMaxDimensions) {
      record.refuse("shape", format("should be a list of 1 to %zu sizes", kMaxDimensions));
    }
    for (const json& size : shape) {
      const bool is_fixed =
          size.is_number_integer() && size.get<std::int64_t>() > 0 && size.get<std::int64_t>() < kMaxTensorSize;
      if (!is_fixed && !size.is_string()) record.refuse("shape", "should hold sizes and names of dimensions");
      tensor.shape.push_back(is_fixed ? size.get<std::int64_t>() : 0);
    }
    record.finish();
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

GraphSpec graph_of(const json& value, const std::string& place) {
  JsonRecord record(value, place);
  GraphSpec graph;
  graph.file = record.text("file");
  graph.inputs = tensors_of(record.entry("inputs"), place + ".inputs");
  graph.outputs = tensors_of(record.entry("outputs"), place + ".outputs");
  record.finish();
  return graph;
}

Calibration calibration_of(const json& value, const std::string& place) {
  JsonRecord record(value, place);
  Calibration found;
  found.features = record.texts("features");
  found.weights = record.numbers("weights", -kMaxWeight, kMaxWeight);
  if (found.weights.size() != found.features.size()) record.refuse("weights", "should have one weight per feature");
  found.bias = record.number("bias", -kMaxWeight, kMaxWeight);
  found.threshold = record.number("threshold", 0, 1);
  found.tolerance_ms = record.number("tolerance_ms", 0, kMaxOffsetMs);
  found.resolution_ms = record.number("resolution_ms", 0, kMaxOffsetMs);
  found.zero_point_ms = record.number("zero_point_ms", -kMaxOffsetMs, kMaxOffsetMs);
  record.whole("num_clips", -kMaxNumber, kMaxNumber);
  record.whole("num_windows", -kMaxNumber, kMaxNumber);
  record.text("source");
  if (record.entry_if_any("max_frames")) found.max_frames = record.whole("max_frames", 1, kMaxNumber);
  record.finish();
  return found;
}

bool is_whole_hop(double hop_ms) {
  const double frames = hop_ms / kHopUnitMs;
  return frames >= 1 && std::abs(frames - std::nearbyint(frames)) < 1e-6;
}

std::string fault_of_grid(const SyncSpec& sync) {
  if (2 * sync.hop_ms > sync.max_offset_ms) return "should have a max_offset_ms of at least two hops";
  if (sync.window_seconds * sync.frame_rate_hz > kMaxWindowInstants) {
    return format("should have at most %.0f frames in a window", kMaxWindowInstants);
  }
  return "";
}

Manifest parse_manifest(const json& content) {
  JsonRecord record(content, "");
  Manifest manifest;
  manifest.name = record.text("name");
  manifest.precision = record.word("precision", kPrecisions);
  manifest.num_mel_bins = mel_bins_of(record.entry("frontend"));
  read_inputs(record, manifest);
  manifest.sync = sync_of(record.entry("sync"));
  for (const char* name : {kFrontend, kAudioEncoder, kVisualEncoder})
    manifest.graphs[name] = graph_of(record.entry(name), name);
  if (const json* graph = record.entry_if_any(kFrameEncoder))
    manifest.graphs[kFrameEncoder] = graph_of(*graph, kFrameEncoder);
  for (const auto& [name, graph] : manifest.graphs) manifest.named_files.push_back(graph.file);
  if (const json* found = record.entry_if_any("calibration"))
    manifest.calibration = calibration_of(*found, "calibration");
  if (const json* found = record.entry_if_any("file_calibration")) {
    manifest.file_calibration = calibration_of(*found, "file_calibration");
  }
  if (const json* engines = record.entry_if_any("engines")) manifest.engines = engines_of(*engines);
  for (const EngineSpec& engine : manifest.engines) {
    manifest.named_files.push_back(engine.file);
    manifest.named_files.insert(manifest.named_files.end(), engine.companions.begin(), engine.companions.end());
  }
  if (const json* found = record.entry_if_any("classifier")) {
    JsonRecord classifier(*found, "classifier");
    manifest.named_files.push_back(graph_of(classifier.entry("graph"), "classifier.graph").file);
  }
  if (const json* faces = record.entry_if_any("faces")) {
    manifest.faces = face_spec_of(*faces);
    for (const auto& [name, graph] : manifest.faces->graphs) manifest.named_files.push_back(graph.file);
  }
  if (record.has("files")) manifest.files = files_of(record.entry("files"));
  check_model(record.entry("model"), manifest);
  record.text("weights_licence");
  record.entry("versions");
  record.entry("source");
  record.skip({"format_version", "digest"});
  record.finish();
  return manifest;
}

}  // namespace cavsync
