// What the graphs of a face path take and give.
#include "error.h"
#include "faces/detector.h"
#include "faces/face_spec.h"
#include "faces/mesh.h"
#include "faces/mouth.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr std::int64_t kMaxEmbeddingWidth = 1 << 16;

// A tensor without the number of items, which comes first. A size of 0 stands for a dynamic one.
struct Interface {
  const char* name;
  std::vector<std::int64_t> shape;
  const char* dtype;
};

void check(const std::string& folder, const char* graph, const char* side, const std::vector<TensorSpec>& tensors,
           const Interface& wanted) {
  const auto fits = [&](const TensorSpec& found) {
    return found.name == wanted.name && found.dtype == wanted.dtype && found.shape.size() == wanted.shape.size() + 1 &&
           std::vector<std::int64_t>(found.shape.begin() + 1, found.shape.end()) == wanted.shape;
  };
  if (tensors.size() == 1 && fits(tensors.front())) return;
  std::string sizes;
  for (const std::int64_t size : wanted.shape) sizes += size == 0 ? ", any" : ", " + std::to_string(size);
  throw bundle_error(format("%s declares %s without the one %s %s of type %s and shape (batch%s): export the bundle again",
                            folder.c_str(), graph, side, wanted.name, wanted.dtype, sizes.c_str()));
}

std::int64_t width_of(const std::string& folder, const FaceSpec& spec, const char* graph) {
  const std::vector<TensorSpec>& outputs = spec.graphs.at(graph).outputs;
  const std::int64_t width = outputs.empty() ? 0 : outputs.front().shape.back();
  if (width < 1 || width > kMaxEmbeddingWidth) {
    throw bundle_error(folder + " declares " + graph + " without an output of known width: export the bundle again");
  }
  return width;
}

}  // namespace

FaceWidths checked_face_widths(const std::string& folder, const FaceSpec& spec, int num_mel_bins) {
  const FaceWidths widths{width_of(folder, spec, kFaceFrameEncoder), width_of(folder, spec, kFaceVisualEncoder)};
  const auto image = [](std::int64_t size) { return Interface{"image", {size, size, 3}, "uint8"}; };
  const auto faces = [](const AnchorGrid& grid) {
    return Interface{"faces", {static_cast<std::int64_t>(grid.centres().size()), kDetectorValues}, "float32"};
  };
  const Interface encoded{"encoded", {widths.encoded}, "float32"};
  const Interface embedding{"embedding", {0, widths.embedding}, "float32"};
  const auto check_graph = [&](const char* name, const Interface& input, const Interface& output) {
    check(folder, name, "input", spec.graphs.at(name).inputs, input);
    check(folder, name, "output", spec.graphs.at(name).outputs, output);
  };
  check_graph(kShortRange, image(short_range().input_size), faces(short_range()));
  check_graph(kFullRange, image(full_range().input_size), faces(full_range()));
  check_graph(kFaceMesh, image(kMeshSize), {"points", {kMeshValues}, "float32"});
  check_graph(kFaceFrameEncoder, {"features", {static_cast<std::int64_t>(kNumFaceFeatures)}, "float32"}, encoded);
  check_graph(kFaceVisualEncoder, {"encoded", {0, widths.encoded}, "float32"}, embedding);
  check_graph(kFaceAudioEncoder, {"log_mel", {0, num_mel_bins}, "float32"}, embedding);
  return widths;
}

}  // namespace cavsync
