#include "tensorrt/sidecar.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "error.h"
#include "json_record.h"
#include "manifest_specs.h"
#include "plain_file.h"
#include "text.h"

namespace cavsync {

namespace {

using nlohmann::json;

constexpr std::int64_t kSidecarVersion = 1;
constexpr std::size_t kMaxSidecarBytes = 1 << 16;
constexpr std::int64_t kMaxBatch = 4096;
// Per tensor and item; real models stay far below.
constexpr std::int64_t kMaxItemValues = 1 << 26;
constexpr std::size_t kMaxTextBytes = 400;
constexpr std::size_t kMaxCapabilities = 16, kMaxOutputs = 16;
constexpr std::int64_t kMaxEngineBytes = std::int64_t{16} << 30;
constexpr int kFirstWithFp8 = 89;
constexpr const char* kExample = "cavsync export RUN --out BUNDLE";
// An engine of TensorRT-RTX for no named compute capability runs on these and later ones, data-centre GPUs excepted.
const std::vector<std::string> kRtxPortable = {"80", "86", "89", "120", "121"};
const BatchProfile kDefaultBatch = {1, 8, 64};

bool has(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool matches(const std::string& text, const char* pattern) {
  return text.size() <= kMaxTextBytes && std::regex_match(text, std::regex(pattern));
}

// Every pattern bounds the length, because messages print the text.
std::string matching(JsonRecord& record, const char* name, const char* pattern, const char* expected) {
  std::string text = record.text(name);
  if (!matches(text, pattern)) record.refuse(name, std::string("should be ") + expected);
  return text;
}

std::vector<TensorSpec> tensors_with_batch(JsonRecord& record, const char* name, std::size_t most) {
  std::vector<TensorSpec> tensors = tensors_of(record.entry(name), name);
  const auto is_usable = [](const TensorSpec& tensor) {
    std::int64_t values = 1;
    bool is_fixed = matches(tensor.name, "\\w{1,100}") && tensor.shape[0] == 0;
    for (std::size_t place = 1; is_fixed && place < tensor.shape.size(); ++place) {
      is_fixed = tensor.shape[place] > 0 && tensor.shape[place] <= kMaxItemValues / values;
      if (is_fixed) values *= tensor.shape[place];
    }
    return is_fixed;
  };
  if (tensors.empty() || tensors.size() > most || !std::all_of(tensors.begin(), tensors.end(), is_usable)) {
    record.refuse(name, format("should be 1 to %zu tensors with a named batch and fixed sizes", most));
  }
  return tensors;
}

BatchProfile batch_of(JsonRecord& record) {
  JsonRecord entry(record.entry("batch"), "batch");
  BatchProfile batch;
  batch.min = entry.whole("min", 1, kMaxBatch);
  batch.opt = entry.whole("opt", batch.min, kMaxBatch);
  batch.max = entry.whole("max", batch.opt, kMaxBatch);
  entry.finish();
  return batch;
}

std::vector<std::string> capabilities_of(JsonRecord& record) {
  const char* name = "compute_capabilities";
  std::vector<std::string> found = record.texts(name);
  const auto is_capability = [](const std::string& text) { return matches(text, "[1-9]\\d{1,2}"); };
  if (found.size() > kMaxCapabilities || !std::all_of(found.begin(), found.end(), is_capability)) {
    record.refuse(name, "should be a list of compute capabilities such as \"89\"");
  }
  return found;
}

Sidecar parse_sidecar(const json& content) {
  JsonRecord record(content, "");
  record.skip({"format_version"});
  Sidecar sidecar;
  sidecar.graph = record.word("graph", {kFrontend, kAudioEncoder, kVisualEncoder, kFrameEncoder});
  sidecar.runtime = record.word("runtime", {kTensorRt, kTensorRtRtx});
  sidecar.library_version =
      matching(record, "library_version", "\\d{1,9}(\\.\\d{1,9}){1,3}(\\.?\\w{1,20})?", "a version");
  matching(record, "cuda_version", "(\\d{1,3}(\\.\\d{1,3})?)?", "a version or empty");
  sidecar.precision = matching(record, "precision", "\\w{1,20}", "one word");
  sidecar.compute_capabilities = capabilities_of(record);
  sidecar.inputs = tensors_with_batch(record, "inputs", 1);
  sidecar.outputs = tensors_with_batch(record, "outputs", kMaxOutputs);
  sidecar.batch = batch_of(record);
  sidecar.engine_sha256 = matching(record, "engine_sha256", "[0-9a-f]{64}", "a SHA-256 in hex");
  matching(record, "source_sha256", "[0-9a-f]{64}", "a SHA-256 in hex");
  sidecar.size_bytes = record.whole("size_bytes", 1, kMaxEngineBytes);
  // Users paste it into a terminal.
  sidecar.rebuild_command =
      matching(record, "rebuild_command", "cavsync export [\\w ./=,-]{1,300}", "a command of cavsync");
  record.finish();
  return sidecar;
}

// The tensors without the batch: an int8 graph may take one input at a time while its engine takes many.
bool are_alike(const std::vector<TensorSpec>& found, const std::vector<TensorSpec>& declared) {
  return std::equal(
      found.begin(), found.end(), declared.begin(), declared.end(), [](const auto& one, const auto& other) {
        return one.name == other.name && one.dtype == other.dtype && one.shape.size() == other.shape.size() &&
               std::equal(one.shape.begin() + 1, one.shape.end(), other.shape.begin() + 1);
      });
}

std::vector<std::string> release_of(const std::string& version) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start != std::string::npos && parts.size() < 3;) {
    const std::size_t dot = version.find('.', start);
    parts.push_back(version.substr(start, dot - start));
    start = dot == std::string::npos ? dot : dot + 1;
  }
  return parts;
}

// The command for this GPU, with the library that builds for it.
std::string command_for(const Sidecar& sidecar, const std::string& capability) {
  const bool is_rtx = sidecar.runtime == kTensorRtRtx && (capability == "75" || has(kRtxPortable, capability));
  std::string command = std::string(kExample) + " --trt " + (is_rtx ? "rtx" : "tensorrt");
  if (sidecar.precision != "fp32") command += " --precision " + sidecar.precision;
  if (is_rtx) command += " --compute-capability " + capability;
  const auto& [min, opt, max] = sidecar.batch;
  if (min != kDefaultBatch.min || opt != kDefaultBatch.opt || max != kDefaultBatch.max) {
    command += format(" --batch %lld,%lld,%lld", static_cast<long long>(min), static_cast<long long>(opt),
                      static_cast<long long>(max));
  }
  return command;
}

std::string read_engine(const Sidecar& sidecar, const std::string& path) {
  const std::string again = ": rebuild the engine with `" + sidecar.rebuild_command + "`";
  // One byte more, to detect a longer file.
  std::string plan = read_plain(path, sidecar.size_bytes + 1, path + " is missing" + again);
  if (static_cast<std::int64_t>(plan.size()) != sidecar.size_bytes || sha256_hex(plan) != sidecar.engine_sha256) {
    throw bundle_error(
        path + " differs from the size and hash in its sidecar, it was changed or belongs to another export" + again);
  }
  return plan;
}

}  // namespace

std::string product_name(const std::string& runtime) { return runtime == kTensorRtRtx ? "TensorRT-RTX" : "TensorRT"; }

Sidecar sidecar_of_text(const std::string& text) {
  if (text.size() > kMaxSidecarBytes) {
    throw UnfitError(format("is larger than %zu bytes, which no sidecar is", kMaxSidecarBytes));
  }
  const json content = parse_json(text);
  const auto version = content.is_object() ? content.find("format_version") : content.end();
  if (!content.is_object() || version == content.end()) {
    throw UnfitError("does not hold a JSON object with a format_version");
  }
  if (!version->is_number_integer() || *version != kSidecarVersion) {
    throw UnfitError(format("has another sidecar format than %lld, which this cavsync reads",
                            static_cast<long long>(kSidecarVersion)));
  }
  return parse_sidecar(content);
}

Sidecar read_sidecar(const std::string& path) {
  const std::string text = read_plain(path, kMaxSidecarBytes + 1,
                                      path +
                                          " is missing, an engine is used only with its sidecar: copy the whole bundle "
                                          "or build the engine again with `" +
                                          kExample + " --trt`");
  try {
    return sidecar_of_text(text);
  } catch (const UnfitError& error) {
    throw bundle_error(path + " " + error.what() + ": build the engine again with this version");
  }
}

Sidecar read_fitting_sidecar(const std::string& folder, const GraphSpec& spec, const EngineSpec& engine) {
  if (engine.companions.size() != 1) {
    throw bundle_error(format("%s/%s has %zu companions, its sidecar is expected: export the bundle again",
                              folder.c_str(), engine.file.c_str(), engine.companions.size()));
  }
  const std::string path = folder + "/" + engine.companions.front();
  Sidecar sidecar = read_sidecar(path);
  const char* different = nullptr;
  if (!are_alike(sidecar.outputs, spec.outputs)) different = "outputs";
  if (!are_alike(sidecar.inputs, spec.inputs)) different = "inputs";
  if (sidecar.precision != engine.precision) different = "precision";
  if (sidecar.runtime != engine.runtime) different = "runtime";
  if (sidecar.graph != engine.graph) different = "graph";
  if (different != nullptr) {
    throw bundle_error(path + " differs from the manifest in the engine's " + different +
                       ", they belong to different exports: rebuild the engine with `" + sidecar.rebuild_command + "`");
  }
  return sidecar;
}

bool is_same_release(const Sidecar& sidecar, const std::string& library_version) {
  return release_of(sidecar.library_version) == release_of(library_version);
}

bool runs_on(const Sidecar& sidecar, const std::string& compute_capability) {
  const int capability = std::stoi(compute_capability);
  if (sidecar.precision == "fp8" && capability < kFirstWithFp8) return false;
  if (!sidecar.compute_capabilities.empty()) return has(sidecar.compute_capabilities, compute_capability);
  if (sidecar.runtime != kTensorRtRtx) return true;
  return has(kRtxPortable, compute_capability) || capability > std::stoi(kRtxPortable.back());
}

std::string read_loadable(const Sidecar& sidecar, const std::string& engine_path, const std::string& library_version,
                          const std::string& compute_capability) {
  std::string plan = read_engine(sidecar, engine_path);
  if (!is_same_release(sidecar, library_version)) {
    throw bundle_error(
        engine_path + " was built by " + product_name(sidecar.runtime) + " " + sidecar.library_version +
        " and this machine has " + library_version +
        ", an engine opens only in the release that built it: install that release, or rebuild the engine "
        "with `" +
        sidecar.rebuild_command + "`");
  }
  if (!runs_on(sidecar, compute_capability)) {
    std::string wanted;
    for (const std::string& one : sidecar.compute_capabilities) wanted += (wanted.empty() ? "" : ", ") + one;
    if (wanted.empty()) wanted = "80, 86, 89, 120 and later GeForce and RTX GPUs";
    throw bundle_error(engine_path + " was built for compute capability " + wanted + " and this GPU has " +
                       compute_capability + ": rebuild the engine with `" + command_for(sidecar, compute_capability) +
                       "`");
  }
  return plan;
}

}  // namespace cavsync
