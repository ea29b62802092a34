#include "engines.h"

#include <algorithm>
#include <set>

#include "error.h"
#include "onnx_engine.h"
#include "onnx_providers.h"
#include "openvino_engine.h"
#include "tensorrt/sidecar.h"
#include "tensorrt/tensorrt_engine.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr const char* kAuto = "auto";
const std::vector<std::string> kRuntimes = {kOnnxRuntime, kOpenVino, kTensorRt, kTensorRtRtx};

bool needs_gpu(const std::string& runtime) { return runtime == kTensorRt || runtime == kTensorRtRtx; }

bool is_built(const std::string& runtime) {
  const auto& built = built_engines();
  return std::any_of(built.begin(), built.end(), [&](const BuiltEngine& engine) { return engine.name == runtime; });
}

std::string names_of_built() {
  std::string names;
  for (const BuiltEngine& engine : built_engines()) names += (names.empty() ? "" : ", ") + engine.name;
  return names;
}

void require_built(const std::string& runtime) {
  if (is_built(runtime)) return;
  const std::string what = "engine " + runtime + " is not in this libcavsync, which has " + names_of_built() + ": ";
  if (runtime == kOpenVino) {
    throw config_error(what + "choose one of these, or build it with OpenVINO (-DCAVSYNC_OPENVINO=ON)");
  }
  throw config_error(what + "choose one of these, or build it with the SDK of " + product_name(runtime) +
                     " (-DTENSORRT_ROOT); TensorRT is also reached through ONNX Runtime, as its provider tensorrt");
}

std::vector<std::string> encoders_of(const Manifest& manifest) {
  std::vector<std::string> encoders{kAudioEncoder, kVisualEncoder};
  if (manifest.has_frame_encoder()) encoders.emplace_back(kFrameEncoder);
  return encoders;
}

Sidecar sidecar_of(const std::string& folder, const Manifest& manifest, const EngineSpec& engine) {
  return read_fitting_sidecar(folder, manifest.graphs.at(engine.graph), engine);
}

// The first engine of each graph; without a precision, of any. Among engines built for one GPU each, one for this GPU.
std::map<std::string, EngineSpec> engines_of(const std::string& folder, const Manifest& manifest,
                                             const std::string& runtime, const std::string& precision, int device) {
  const auto capability = needs_gpu(runtime) ? compute_capability_of(device) : std::nullopt;
  std::map<std::string, EngineSpec> found;
  for (const EngineSpec& engine : manifest.engines) {
    if (engine.runtime != runtime || (!precision.empty() && precision != engine.precision)) continue;
    if (capability && runs_on(sidecar_of(folder, manifest, engine), *capability)) {
      found[engine.graph] = engine;
    } else {
      found.emplace(engine.graph, engine);
    }
  }
  return found;
}

bool has_all(const std::map<std::string, EngineSpec>& engines, const Manifest& manifest) {
  const std::vector<std::string> encoders = encoders_of(manifest);
  return std::all_of(encoders.begin(), encoders.end(),
                     [&](const std::string& graph) { return engines.count(graph) > 0; });
}

[[noreturn]] void refuse_missing(const std::string& folder, const Manifest& manifest, const std::string& wanted) {
  std::set<std::string> kinds{std::string(kOnnxRuntime) + ":" + manifest.precision};
  if (is_built(kOpenVino)) kinds.insert(std::string(kOpenVino) + ":" + manifest.precision);
  for (const EngineSpec& engine : manifest.engines) kinds.insert(engine.runtime + ":" + engine.precision);
  std::string names;
  for (const std::string& kind : kinds) names += (names.empty() ? "" : ", ") + kind;
  throw config_error(folder + " has no " + plain(wanted) + " engine of every encoder, it has " + names +
                     ": choose one of these, or export it");
}

// Whether the bundle has TensorRT engines of every encoder, built for this GPU and by this release.
bool has_loadable(const std::string& folder, const Manifest& manifest, const EngineOptions& options) {
  const auto capability = is_built(tensorrt_runtime()) ? compute_capability_of(options.device) : std::nullopt;
  if (!capability) return false;
  const auto engines = engines_of(folder, manifest, tensorrt_runtime(), "", options.device);
  return has_all(engines, manifest) && std::all_of(engines.begin(), engines.end(), [&](const auto& engine) {
           const Sidecar sidecar = sidecar_of(folder, manifest, engine.second);
           return runs_on(sidecar, *capability) && is_same_release(sidecar, tensorrt_version());
         });
}

std::string runtime_of_auto(const std::string& folder, const Manifest& manifest, const EngineOptions& options) {
  if (options.provider != kCpuProvider) return kOnnxRuntime;
  if (has_loadable(folder, manifest, options)) return tensorrt_runtime();
  const bool has_engines =
      is_built(kOpenVino) && has_all(engines_of(folder, manifest, kOpenVino, "", options.device), manifest);
  // Last, because it loads the library.
  return has_engines && !openvino_version().empty() ? kOpenVino : kOnnxRuntime;
}

void check_options(const EngineChoice& choice) {
  const bool is_on_cpu = choice.options.provider == kCpuProvider;
  if (choice.runtime != kOnnxRuntime && !is_on_cpu) {
    throw config_error("execution provider " + choice.options.provider + " belongs to ONNX Runtime, the engine is " +
                       choice.runtime + ": use the engine onnxruntime, or leave the provider out");
  }
  if (choice.runtime == kOnnxRuntime && choice.precision == "bf16" && is_on_cpu) {
    throw config_error("bf16 is computed by ONNX Runtime on GPUs only: use the provider cuda, or another engine");
  }
}

}  // namespace

const std::vector<BuiltEngine>& built_engines() {
  static const std::vector<BuiltEngine> engines = [] {
    std::vector<BuiltEngine> found{{kOnnxRuntime, onnx_runtime_version}};
    if (has_openvino()) found.push_back({kOpenVino, openvino_version});
    if (const std::string runtime = tensorrt_runtime(); !runtime.empty()) found.push_back({runtime, tensorrt_version});
    return found;
  }();
  return engines;
}

EngineChoice choose_engine(const std::string& folder, const Manifest& manifest, const EngineOptions& options) {
  EngineChoice choice;
  choice.options = options;
  choice.options.provider = short_provider_name(options.provider);
  const std::size_t colon = options.engine.find(':');
  choice.runtime = options.engine.substr(0, colon);
  const std::string precision = colon == std::string::npos ? "" : options.engine.substr(colon + 1);
  if (options.device < 0) throw config_error("device is negative: give the number of a GPU, 0 or more");
  if (options.engine == kAuto) choice.runtime = runtime_of_auto(folder, manifest, choice.options);
  if (std::count(kRuntimes.begin(), kRuntimes.end(), choice.runtime) == 0) {
    throw config_error(
        "engine " + plain(options.engine) +
        " is not known: use auto, onnxruntime, openvino, tensorrt, tensorrt_rtx, or one with :precision");
  }
  require_built(choice.runtime);
  // Without a word about precision, ONNX Runtime computes the ONNX graphs, and OpenVINO its engines if there are any.
  const bool is_own = choice.runtime == kOnnxRuntime && (precision.empty() || precision == manifest.precision);
  if (!is_own) choice.engines = engines_of(folder, manifest, choice.runtime, precision, options.device);
  const bool may_be_onnx = !needs_gpu(choice.runtime) && (precision.empty() || precision == manifest.precision);
  if (choice.engines.empty() ? !may_be_onnx : !has_all(choice.engines, manifest)) {
    refuse_missing(folder, manifest, options.engine);
  }
  choice.precision = choice.engines.empty() ? manifest.precision : choice.engines.at(kAudioEncoder).precision;
  check_options(choice);
  return choice;
}

std::unique_ptr<Engine> open_engine(const std::string& folder, const Manifest& manifest, const std::string& graph,
                                    const EngineChoice& choice) {
  const GraphSpec& spec = manifest.graphs.at(graph);
  const auto found = choice.engines.find(graph);
  const EngineSpec* engine = found == choice.engines.end() || graph == kFrontend ? nullptr : &found->second;
  if (choice.runtime == kOpenVino && graph != kFrontend) {
    return open_openvino(folder, spec, engine, manifest.files, choice.options.threads);
  }
  if (engine != nullptr && needs_gpu(choice.runtime))
    return open_tensorrt(folder, spec, *engine, choice.options.device);
  GraphSpec opened = spec;
  if (engine != nullptr) opened.file = engine->file;
  return open_onnx(folder, opened, manifest.files.at(opened.file), choice.options);
}

}  // namespace cavsync
