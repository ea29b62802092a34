#include "tensorrt/tensorrt_engine.h"

#include <NvInferRuntime.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "error.h"
#include "graph_run.h"
#include "tensorrt/cuda_device.h"
#include "tensorrt/half.h"
#include "tensorrt/message_log.h"
#include "tensorrt/sidecar.h"
#include "text.h"

namespace cavsync {

namespace {

static_assert(sizeof(nvinfer1::Dims::d[0]) == sizeof(std::int64_t), "TensorRT 10 or newer is needed");

const char* dtype_name(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT: return "float32";
    case nvinfer1::DataType::kHALF: return "float16";
    case nvinfer1::DataType::kUINT8: return "uint8";
    default: return "another type";
  }
}

std::size_t value_bytes(const TensorSpec& tensor) {
  return tensor.dtype == "float32" ? 4 : tensor.dtype == "float16" ? 2 : 1;
}

std::size_t item_values(const TensorSpec& tensor) {
  std::size_t values = 1;
  for (std::size_t place = 1; place < tensor.shape.size(); ++place)
    values *= static_cast<std::size_t>(tensor.shape[place]);
  return values;
}

std::size_t item_bytes(const TensorSpec& tensor) { return item_values(tensor) * value_bytes(tensor); }

std::vector<std::int64_t> sizes_of(const nvinfer1::Dims& dims) {
  // -1 stands for a dynamic size here and for an unknown rank.
  const int rank = std::clamp(static_cast<int>(dims.nbDims), 0, static_cast<int>(nvinfer1::Dims::MAX_DIMS));
  std::vector<std::int64_t> sizes(dims.d, dims.d + rank);
  for (std::int64_t& size : sizes) size = std::max<std::int64_t>(0, size);
  return sizes;
}

nvinfer1::Dims dims_of(const std::vector<std::int64_t>& sizes) {
  nvinfer1::Dims dims{};
  dims.nbDims = static_cast<std::int32_t>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), dims.d);
  return dims;
}

class TensorRtEngine : public Engine {
 public:
  TensorRtEngine(std::string path, Sidecar sidecar, const std::string& plan, int device)
      : path_(std::move(path)), sidecar_(std::move(sidecar)), device_(device) {
    const OnDevice here(device_);
    try {
      open(plan);
    } catch (const std::exception&) {
      opened_.reset();
      throw;
    }
  }

  ~TensorRtEngine() override {
    try {
      const OnDevice here(device_);
      opened_.reset();
    } catch (const Error&) {
      // The device is gone, and its memory with it.
    }
  }

  Tensor run(const std::vector<float>& values, std::vector<std::int64_t> shape, const char* output) const override {
    return run_all(values, std::move(shape), output);
  }
  Tensor run(const std::vector<std::uint8_t>& values, std::vector<std::int64_t> shape,
             const char* output) const override {
    return run_all(values, std::move(shape), output);
  }

 private:
  // Freed in the opposite order.
  struct Opened {
    CudaStream stream;
    std::map<std::string, CudaMemory> memory;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
  };

  const TensorSpec& input() const { return sidecar_.inputs.front(); }

  Error failure(const std::string& what) const {
    return bundle_error(path_ + " " + what + " (" + message_log().reason() + "): rebuild it on this machine with `" +
                        sidecar_.rebuild_command + "`");
  }

  void open(const std::string& plan) {
    opened_ = std::make_unique<Opened>();
    message_log().clear();
    opened_->runtime.reset(nvinfer1::createInferRuntime(message_log()));
    if (!opened_->runtime) throw failure("finds no usable library");
    opened_->engine.reset(opened_->runtime->deserializeCudaEngine(plan.data(), plan.size()));
    if (!opened_->engine) throw failure("cannot be opened");
    check_tensors();
    check_batch();
    opened_->context.reset(opened_->engine->createExecutionContext());
    if (!opened_->context) throw failure("gets no working memory");
    allocate(input());
    for (const TensorSpec& tensor : sidecar_.outputs) allocate(tensor);
  }

  // Compare the tensors with the sidecar, by which memory for them is allocated.
  void check_tensors() const {
    std::map<std::string, std::string> found, declared;
    for (std::int32_t place = 0; place < opened_->engine->getNbIOTensors(); ++place) {
      const char* name = opened_->engine->getIOTensorName(place);
      const bool is_input = opened_->engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
      found[name] =
          format("%s %s %s", is_input ? "input" : "output", dtype_name(opened_->engine->getTensorDataType(name)),
                 shape_text(sizes_of(opened_->engine->getTensorShape(name))).c_str());
    }
    const auto declare = [&](const char* side, const TensorSpec& tensor) {
      declared[tensor.name] = format("%s %s %s", side, tensor.dtype.c_str(), shape_text(tensor.shape).c_str());
    };
    declare("input", input());
    for (const TensorSpec& tensor : sidecar_.outputs) declare("output", tensor);
    if (found != declared) {
      throw bundle_error(path_ + " has the tensors " + listed(found) + ", its sidecar declares " + listed(declared) +
                         ": rebuild it with `" + sidecar_.rebuild_command + "`");
    }
  }

  static std::string listed(const std::map<std::string, std::string>& tensors) {
    std::string text;
    for (const auto& [name, kind] : tensors) text += (text.empty() ? "" : ", ") + plain(name) + " (" + kind + ")";
    return text;
  }

  void check_batch() const {
    const auto batch = [&](nvinfer1::OptProfileSelector which) {
      const std::vector<std::int64_t> sizes =
          sizes_of(opened_->engine->getProfileShape(input().name.c_str(), 0, which));
      return sizes.empty() ? 0 : sizes.front();
    };
    const std::int64_t least = batch(nvinfer1::OptProfileSelector::kMIN);
    const std::int64_t most = batch(nvinfer1::OptProfileSelector::kMAX);
    if (least > sidecar_.batch.min || most < sidecar_.batch.max) {
      throw bundle_error(
          format("%s takes %lld to %lld items at a time, its sidecar declares %lld to %lld: rebuild it with "
                 "`%s`",
                 path_.c_str(), static_cast<long long>(least), static_cast<long long>(most),
                 static_cast<long long>(sidecar_.batch.min), static_cast<long long>(sidecar_.batch.max),
                 sidecar_.rebuild_command.c_str()));
    }
  }

  void allocate(const TensorSpec& tensor) {
    const std::size_t size_bytes = static_cast<std::size_t>(sidecar_.batch.max) * item_bytes(tensor);
    const auto made = opened_->memory.try_emplace(tensor.name, size_bytes).first;
    if (!opened_->context->setTensorAddress(tensor.name.c_str(), made->second.address())) {
      throw failure("does not take memory for " + tensor.name);
    }
  }

  template <class Value>
  Tensor run_all(const std::vector<Value>& values, std::vector<std::int64_t> shape, const char* output) const {
    const char* dtype = sizeof(Value) == 1 ? "uint8" : "float32";
    if (input().dtype != dtype || !shapes_agree(input().shape, shape)) {
      throw bundle_error(path_ + " takes " + input().dtype + " " + shape_text(input().shape) + ", it was given " +
                         dtype + " " + shape_text(shape) + ": export the bundle again");
    }
    const auto found = std::find_if(sidecar_.outputs.begin(), sidecar_.outputs.end(),
                                    [&](const TensorSpec& tensor) { return tensor.name == output; });
    if (found == sidecar_.outputs.end()) {
      throw bundle_error(path_ + " has no output " + output + ": export the bundle again");
    }
    Tensor result;
    if (shape.at(0) == 0) {
      result.shape = found->shape;
      return result;
    }
    const OnDevice here(device_);
    result =
        run_rows(sidecar_.batch.max, values, std::move(shape),
                 [&](const Value* data, std::size_t, const auto& sizes) { return run_batch(data, sizes, *found); });
    require_finite(path_, result);
    return result;
  }

  // Fewer items than the profile's smallest batch are padded with the last one, and the padding is removed.
  template <class Value>
  Tensor run_batch(const Value* values, std::vector<std::int64_t> shape, const TensorSpec& output) const {
    const auto given = static_cast<std::size_t>(shape[0]);
    const std::size_t size = item_values(input());
    std::vector<Value> filled(values, values + given * size);
    const auto count = std::max(given, static_cast<std::size_t>(sidecar_.batch.min));
    for (std::size_t item = given; item < count; ++item)
      filled.insert(filled.end(), values + (given - 1) * size, values + given * size);
    shape[0] = static_cast<std::int64_t>(count);
    std::vector<char> bytes(count * item_bytes(output));
    compute(filled.data(), filled.size() * sizeof(Value), shape, output, bytes);
    Tensor result;
    result.shape = output.shape;
    result.shape[0] = static_cast<std::int64_t>(given);
    result.values = floats_of(bytes, given * item_values(output), output);
    return result;
  }

  // Context and memory serve one call at a time.
  void compute(const void* values, std::size_t size_bytes, const std::vector<std::int64_t>& shape,
               const TensorSpec& output, std::vector<char>& bytes) const {
    const std::lock_guard lock(mutex_);
    message_log().clear();
    opened_->stream.upload(opened_->memory.at(input().name).address(), values, size_bytes);
    if (!opened_->context->setInputShape(input().name.c_str(), dims_of(shape))) {
      throw failure("refuses an input of shape " + shape_text(shape));
    }
    if (!opened_->context->enqueueV3(opened_->stream.get())) {
      throw failure("fails on an input of shape " + shape_text(shape));
    }
    opened_->stream.download(bytes.data(), opened_->memory.at(output.name).address(), bytes.size());
    opened_->stream.synchronize();
  }

  static std::vector<float> floats_of(const std::vector<char>& bytes, std::size_t count, const TensorSpec& tensor) {
    std::vector<float> values(count);
    if (tensor.dtype == "float32") {
      std::memcpy(values.data(), bytes.data(), count * sizeof(float));
    } else if (tensor.dtype == "float16") {
      std::vector<std::uint16_t> halves(count);
      std::memcpy(halves.data(), bytes.data(), count * sizeof(std::uint16_t));
      std::transform(halves.begin(), halves.end(), values.begin(), float_of_half);
    } else {
      std::transform(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count), values.begin(),
                     [](char byte) { return static_cast<float>(static_cast<unsigned char>(byte)); });
    }
    return values;
  }

  std::string path_;
  Sidecar sidecar_;
  int device_;
  std::unique_ptr<Opened> opened_;
  mutable std::mutex mutex_;
};

}  // namespace

std::string tensorrt_runtime() { return CAVSYNC_TENSORRT_RUNTIME; }

std::string tensorrt_version() {
  return format("%d.%d.%d.%d", static_cast<int>(getInferLibMajorVersion()), static_cast<int>(getInferLibMinorVersion()),
                static_cast<int>(getInferLibPatchVersion()), static_cast<int>(getInferLibBuildVersion()));
}

std::optional<std::string> compute_capability_of(int device) {
  try {
    return compute_capability(device, "");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::unique_ptr<Engine> open_tensorrt(const std::string& folder, const GraphSpec& spec, const EngineSpec& engine,
                                      int device) {
  const std::string path = folder + "/" + engine.file;
  Sidecar sidecar = read_fitting_sidecar(folder, spec, engine);
  const std::string capability = compute_capability(device, path);
  const std::string plan = read_loadable(sidecar, path, tensorrt_version(), capability);
  return std::make_unique<TensorRtEngine>(path, std::move(sidecar), plan, device);
}

}  // namespace cavsync
