#include "onnx_engine.h"

#include <onnxruntime_cxx_api.h>

#include "error.h"
#include "graph_run.h"
#include "onnx_environment.h"
#include "onnx_providers.h"
#include "self_contained.h"
#include "text.h"

namespace cavsync {

namespace {

// Most items of one call on the CPU, where larger batches gain nothing and take memory: with 16, activations of the
// packaged bundle's encoders took 52 MB, with 4 they take 14.
constexpr std::int64_t kMostItemsOnCpu = 4;

const char* dtype_name(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return "float16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return "uint8";
    default: return "another type";
  }
}

class OnnxEngine : public Engine {
 public:
  OnnxEngine(const std::string& path, const GraphSpec& spec, const std::string& content, const EngineOptions& options)
      : path_(path), session_(nullptr) {
    Ort::SessionOptions session_options;
    append_provider(session_options, options);
    session_options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
    // Never the runtime's own format, which is not checked for pointers to other files.
    session_options.AddConfigEntry("session.load_model_format", "ONNX");
    // Streams share the cores: threads that spin while they wait double the cost of a stream.
    session_options.AddConfigEntry("session.intra_op.allow_spinning", "0");
    // Batches have many sizes: a plan of the memory for each would take a sixth of the process's memory.
    session_options.DisableMemPattern();
    if (options.threads > 0) session_options.SetIntraOpNumThreads(options.threads);
    const bool is_on_cpu = short_provider_name(options.provider) == kCpuProvider;
    if (is_on_cpu) share_memory(session_options);
    try {
      session_ = Ort::Session(onnx_environment(), content.data(), content.size(), session_options);
    } catch (const Ort::Exception& error) {
      throw bundle_error(path_ + " is not a usable ONNX graph (" + plain(error.what()) + "): export the bundle again");
    }
    Ort::AllocatorWithDefaultOptions allocator;
    check(
        spec.inputs, session_.GetInputCount(), "input",
        [&](std::size_t place) { return std::string(session_.GetInputNameAllocated(place, allocator).get()); },
        [&](std::size_t place) { return session_.GetInputTypeInfo(place); });
    check(
        spec.outputs, session_.GetOutputCount(), "output",
        [&](std::size_t place) { return std::string(session_.GetOutputNameAllocated(place, allocator).get()); },
        [&](std::size_t place) { return session_.GetOutputTypeInfo(place); });
    input_ = spec.inputs.at(0).name;
    const bool takes_one = session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape().at(0) == 1;
    most_items_ = takes_one ? 1 : is_on_cpu ? kMostItemsOnCpu : kAnyNumber;
  }

  Tensor run(const std::vector<float>& values, std::vector<std::int64_t> shape, const char* output) const override {
    return run_all(values, std::move(shape), output);
  }
  Tensor run(const std::vector<std::uint8_t>& values, std::vector<std::int64_t> shape,
             const char* output) const override {
    return run_all(values, std::move(shape), output);
  }

 private:
  template <class Name, class Info>
  void check(const std::vector<TensorSpec>& declared, std::size_t count, const char* side, Name name, Info info) const {
    if (count != declared.size()) {
      throw bundle_error(format("%s has %zu %ss, the manifest declares %zu: export the bundle again", path_.c_str(),
                                count, side, declared.size()));
    }
    for (std::size_t place = 0; place < count; ++place) {
      const TensorSpec& spec = declared[place];
      const Ort::TypeInfo found = info(place);
      const auto tensor = found.GetTensorTypeAndShapeInfo();
      if (name(place) != spec.name || dtype_name(tensor.GetElementType()) != spec.dtype ||
          !shapes_agree(spec.shape, tensor.GetShape())) {
        throw bundle_error(
            format("%s has the %s %s as %s %s, the manifest declares %s as %s %s: export the bundle again",
                   path_.c_str(), side, plain(name(place)).c_str(), dtype_name(tensor.GetElementType()),
                   shape_text(tensor.GetShape()).c_str(), plain(spec.name).c_str(), spec.dtype.c_str(),
                   shape_text(spec.shape).c_str()));
      }
    }
  }

  template <class Value>
  Tensor run_all(const std::vector<Value>& values, std::vector<std::int64_t> shape, const char* output) const {
    return run_rows(most_items_, values, std::move(shape), [&](const Value* data, std::size_t size, const auto& sizes) {
      return run_once(data, size, sizes, output);
    });
  }

  template <class Value>
  Tensor run_once(const Value* values, std::size_t size, const std::vector<std::int64_t>& shape,
                  const char* output) const {
    Tensor result;
    try {
      const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
      // The runtime does not write to its inputs.
      const Ort::Value input =
          Ort::Value::CreateTensor<Value>(memory, const_cast<Value*>(values), size, shape.data(), shape.size());
      const char* input_name = input_.c_str();
      const auto outputs = session_run(&input_name, &input, &output);
      const Ort::Value& found = outputs.at(0);
      const auto info = found.GetTensorTypeAndShapeInfo();
      result.shape = info.GetShape();
      result.values.resize(info.GetElementCount());
      if (info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16) {
        const auto* data = found.GetTensorData<Ort::Float16_t>();
        for (std::size_t place = 0; place < result.values.size(); ++place) result.values[place] = data[place].ToFloat();
      } else {
        const float* data = found.GetTensorData<float>();
        result.values.assign(data, data + result.values.size());
      }
    } catch (const Ort::Exception& error) {
      throw bundle_error(path_ + " fails on an input of shape " + shape_text(shape) + " (" + plain(error.what()) +
                         "): export the bundle again");
    }
    require_finite(path_, result);
    return result;
  }

  std::vector<Ort::Value> session_run(const char* const* input_name, const Ort::Value* input,
                                      const char* const* output) const {
    // Sessions may be run from several threads; the wrapper's method lacks the `const`.
    return const_cast<Ort::Session&>(session_).Run(Ort::RunOptions{nullptr}, input_name, input, 1, output, 1);
  }

  std::string path_;
  Ort::Session session_;
  std::string input_;
  std::int64_t most_items_ = kAnyNumber;
};

}  // namespace

std::unique_ptr<Engine> open_onnx(const std::string& folder, const GraphSpec& spec, const FileEntry& entry,
                                  const EngineOptions& options) {
  const std::string path = folder + "/" + spec.file;
  const std::string content = read_graph(folder, spec.file, entry);
  check_self_contained(path, content);
  return std::make_unique<OnnxEngine>(path, spec, content, options);
}

std::string onnx_runtime_version() { return OrtGetApiBase()->GetVersionString(); }

}  // namespace cavsync
