// The stand-in for TensorRT.
#include <NvInferRuntime.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "stand_in.h"

namespace {

using namespace nvinfer1;
using nlohmann::json;

ILogger* logger = nullptr;

bool fails(const char* function) {
  if (stand_in().failing != function) return false;
  logger->log(ILogger::Severity::kWARNING, "never mind");
  logger->log(ILogger::Severity::kERROR, "Error Code 1: Cuda Runtime (In f at /x.cpp:2 (cudaError 35: whatever))");
  logger->log(ILogger::Severity::kERROR,
              "IRuntime::f: Error Code 6: API Usage Error (out of luck. In f at /_src/x.cpp:3)");
  return true;
}

// Half precision of numbers that it holds exactly.
std::uint16_t half_of(float value) {
  if (value == 0) return 0;
  if (std::isinf(value)) return 0x7c00;
  int exponent = 0;
  const float fraction = std::frexp(std::abs(value), &exponent);
  const auto bits = static_cast<std::uint16_t>(std::lround(std::ldexp(fraction, 11)) - 0x400);
  return static_cast<std::uint16_t>((value < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | bits);
}

template <class Value>
void put(char* target, std::size_t place, Value value) {
  std::memcpy(target + place * sizeof value, &value, sizeof value);
}

struct Model {
  std::vector<StandInTensor> tensors;
  std::int64_t least, most;
  double scale;

  const StandInTensor* find(const std::string& name) const {
    for (const StandInTensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  const StandInTensor& input() const {
    return *std::find_if(tensors.begin(), tensors.end(), [](const auto& tensor) { return tensor.mode == "input"; });
  }
};

std::size_t values_of(const StandInTensor& tensor) {
  std::size_t values = 1;
  for (const std::int64_t size : tensor.shape) values *= static_cast<std::size_t>(size);
  return values;
}

Dims dims_of(const StandInTensor& tensor, std::int64_t batch) {
  Dims dims{};
  dims.nbDims = static_cast<std::int32_t>(tensor.shape.size()) + 1;
  dims.d[0] = batch;
  std::copy(tensor.shape.begin(), tensor.shape.end(), dims.d + 1);
  return dims;
}

class Counted {
 public:
  Counted() { ++stand_in().live_objects; }
  ~Counted() { --stand_in().live_objects; }
};

class Context : public IExecutionContext {
 public:
  explicit Context(const Model& model) : model_(model) {}

  bool setTensorAddress(char const* tensorName, void* data) noexcept override {
    if (fails("setTensorAddress") || model_.find(tensorName) == nullptr) return false;
    addresses_[tensorName] = static_cast<char*>(data);
    return true;
  }
  bool setInputShape(char const* tensorName, Dims const& dims) noexcept override {
    batch_ = dims.d[0];
    stand_in().batches.push_back(batch_);
    const bool fits = dims_of(model_.input(), batch_).nbDims == dims.nbDims && model_.input().name == tensorName;
    return !fails("setInputShape") && fits && model_.least <= batch_ && batch_ <= model_.most;
  }
  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (stream == nullptr || fails("enqueueV3") || addresses_.size() != model_.tensors.size()) return false;
    for (std::int64_t item = 0; item < batch_; ++item) compute(static_cast<std::size_t>(item));
    return true;
  }

 private:
  void compute(std::size_t item) {
    const StandInTensor& input = model_.input();
    const char* data = addresses_.at(input.name);
    float sum = 0;
    for (std::size_t place = item * values_of(input); place < (item + 1) * values_of(input); ++place) {
      float value = static_cast<unsigned char>(data[place]);
      if (input.dtype == "float32") std::memcpy(&value, data + place * sizeof value, sizeof value);
      sum += value;
    }
    for (const StandInTensor& tensor : model_.tensors) {
      if (tensor.mode == "input") continue;
      for (std::size_t number = 0; number < values_of(tensor); ++number) {
        const std::size_t place = item * values_of(tensor) + number;
        const auto value = static_cast<float>(model_.scale * static_cast<double>(sum) + static_cast<double>(number));
        if (tensor.dtype == "float32") put(addresses_.at(tensor.name), place, value);
        if (tensor.dtype == "float16") put(addresses_.at(tensor.name), place, half_of(value));
        if (tensor.dtype == "uint8") put(addresses_.at(tensor.name), place, static_cast<unsigned char>(value));
      }
    }
  }

  const Model& model_;
  std::map<std::string, char*> addresses_;
  std::int64_t batch_ = 0;
  Counted counted_;
};

class CudaEngine : public ICudaEngine {
 public:
  explicit CudaEngine(Model model) : model_(std::move(model)) {}

  std::int32_t getNbIOTensors() const noexcept override { return static_cast<std::int32_t>(model_.tensors.size()); }
  char const* getIOTensorName(std::int32_t index) const noexcept override {
    return model_.tensors[static_cast<std::size_t>(index)].name.c_str();
  }
  TensorIOMode getTensorIOMode(char const* tensorName) const noexcept override {
    return model_.find(tensorName)->mode == "input" ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
  }
  DataType getTensorDataType(char const* tensorName) const noexcept override {
    const std::string& dtype = model_.find(tensorName)->dtype;
    if (dtype == "float32") return DataType::kFLOAT;
    if (dtype == "float16") return DataType::kHALF;
    return dtype == "uint8" ? DataType::kUINT8 : DataType::kINT64;
  }
  Dims getTensorShape(char const* tensorName) const noexcept override { return dims_of(*model_.find(tensorName), -1); }
  Dims getProfileShape(char const* tensorName, std::int32_t, OptProfileSelector select) const noexcept override {
    return dims_of(*model_.find(tensorName), select == OptProfileSelector::kMAX ? model_.most : model_.least);
  }
  IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
    return fails("createExecutionContext") ? nullptr : new Context(model_);
  }

 private:
  Model model_;
  Counted counted_;
};

class Runtime : public IRuntime {
 public:
  ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept override {
    if (fails("deserializeCudaEngine")) return nullptr;
    const auto* text = static_cast<const char*>(blob);
    const json plan = json::parse(text, text + size, nullptr, false);
    if (plan.is_discarded()) return nullptr;
    Model model{{}, plan["least"], plan["most"], 0};
    // JSON has no infinity.
    model.scale = plan["scale"].is_null() ? HUGE_VAL : plan["scale"].get<double>();
    for (const json& tensor : plan["tensors"]) {
      model.tensors.push_back({tensor["name"], tensor["mode"], tensor["dtype"], tensor["shape"]});
    }
    return new CudaEngine(std::move(model));
  }

 private:
  Counted counted_;
};

}  // namespace

std::string plan_of(const std::vector<StandInTensor>& tensors, std::int64_t least, std::int64_t most, double scale) {
  json plan{{"least", least}, {"most", most}, {"scale", scale}, {"tensors", json::array()}};
  for (const auto& [name, mode, dtype, shape] : tensors) {
    plan["tensors"].push_back({{"name", name}, {"mode", mode}, {"dtype", dtype}, {"shape", shape}});
  }
  return plan.dump();
}

extern "C" {

void* createInferRuntime_INTERNAL(void* given, std::int32_t) noexcept {
  logger = static_cast<ILogger*>(given);
  return fails("createInferRuntime") ? nullptr : static_cast<IRuntime*>(new Runtime);
}
std::int32_t getInferLibMajorVersion() noexcept { return stand_in().version[0]; }
std::int32_t getInferLibMinorVersion() noexcept { return stand_in().version[1]; }
std::int32_t getInferLibPatchVersion() noexcept { return stand_in().version[2]; }
std::int32_t getInferLibBuildVersion() noexcept { return stand_in().version[3]; }

}  // extern "C"
