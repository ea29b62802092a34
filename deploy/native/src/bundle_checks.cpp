#include "bundle_checks.h"

#include <algorithm>

#include "curve.h"
#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr std::int64_t kMaxEmbeddingWidth = 1 << 16;
constexpr const char* kAgain = "export the bundle again";
// A size that differs from call to call, or follows from elsewhere.
constexpr std::int64_t kAny = -1;

const TensorSpec& one_named(const std::string& folder, const Manifest& manifest, const char* graph, bool is_input,
                            const char* name) {
  const GraphSpec& spec = manifest.graphs.at(graph);
  const auto& tensors = is_input ? spec.inputs : spec.outputs;
  const auto is_named = [&](const TensorSpec& tensor) { return tensor.name == name; };
  const auto found = std::find_if(tensors.begin(), tensors.end(), is_named);
  if (found == tensors.end() || std::count_if(tensors.begin(), tensors.end(), is_named) != 1 ||
      (is_input && tensors.size() != 1)) {
    throw bundle_error(folder + " declares " + graph + " without the " + (is_input ? "input " : "output ") + name +
                       ": " + kAgain);
  }
  return *found;
}

void check_shape(const std::string& folder, const TensorSpec& tensor, const std::vector<std::int64_t>& wanted,
                 const std::string& dtype) {
  bool fits = tensor.shape.size() == wanted.size() + 1 && (dtype.empty() || dtype == tensor.dtype);
  for (std::size_t place = 0; fits && place < wanted.size(); ++place) {
    fits = wanted[place] == kAny || wanted[place] == tensor.shape[place + 1];
  }
  if (!fits) {
    throw bundle_error(folder + " declares " + plain(tensor.name) +
                       " in a shape or type which its other entries contradict: " + kAgain);
  }
}

void check_visual(const std::string& folder, const Manifest& manifest) {
  const std::int64_t size = manifest.img_size;
  if (!manifest.has_frame_encoder()) {
    check_shape(folder, one_named(folder, manifest, kVisualEncoder, true, "frames"),
                {manifest.num_frames, size, size, 3}, "uint8");
    return;
  }
  check_shape(folder, one_named(folder, manifest, kFrameEncoder, true, "pairs"), {2, size, size, 3}, "uint8");
  const TensorSpec& features = one_named(folder, manifest, kFrameEncoder, false, "features");
  std::vector<std::int64_t> wanted = {manifest.num_frames - 1};
  wanted.insert(wanted.end(), features.shape.begin() + 1, features.shape.end());
  check_shape(folder, one_named(folder, manifest, kVisualEncoder, true, "features"), wanted, "float32");
}

void check_features(const std::string& folder, const Manifest& manifest) {
  std::vector<std::optional<Calibration>> calibrations{manifest.calibration, manifest.file_calibration};
  if (manifest.faces) {
    calibrations.push_back(manifest.faces->calibration);
    calibrations.push_back(manifest.faces->file_calibration);
  }
  for (const auto& calibration : calibrations) {
    if (!calibration) continue;
    for (const std::string& name : calibration->features) {
      if (feature_index(name) < 0) {
        throw bundle_error(folder + " weighs the calibration feature '" + plain(name) +
                           "', which this version cannot compute: export the bundle again with this version");
      }
    }
  }
}

}  // namespace

void verify_files(const std::string& folder, const Manifest& manifest) {
  for (const std::string& name : manifest.named_files) {
    if (manifest.files.count(name) == 0) {
      throw bundle_error(folder + " names '" + plain(name) + "' without a hash: " + kAgain);
    }
  }
  for (const auto& [name, entry] : manifest.files) verify_file(folder, name, entry);
}

int checked_embedding_dim(const std::string& folder, const Manifest& manifest) {
  check_features(folder, manifest);
  const TensorSpec& audio = one_named(folder, manifest, kAudioEncoder, false, "embedding");
  const TensorSpec& visual = one_named(folder, manifest, kVisualEncoder, false, "embedding");
  const std::int64_t width = audio.shape.back();
  if (width < 1 || width > kMaxEmbeddingWidth || width != visual.shape.back()) {
    throw bundle_error(folder + " declares audio and visual embeddings of different widths: " + kAgain);
  }
  check_shape(folder, one_named(folder, manifest, kFrontend, true, "waveform"), {kAny}, "float32");
  check_shape(folder, one_named(folder, manifest, kFrontend, false, "log_mel"), {kAny, manifest.num_mel_bins}, "");
  check_shape(folder, one_named(folder, manifest, kAudioEncoder, true, "log_mel"),
              {manifest.segment_frames, manifest.num_mel_bins}, "float32");
  check_shape(folder, audio, {width}, "");
  check_shape(folder, visual, {width}, "");
  check_visual(folder, manifest);
  return static_cast<int>(width);
}

}  // namespace cavsync
