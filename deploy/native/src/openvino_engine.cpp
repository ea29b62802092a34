#include "openvino_engine.h"

#include <algorithm>
#include <mutex>
#include <openvino/openvino.hpp>

#include "error.h"
#include "graph_run.h"
#include "self_contained.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr const char* kDevice = "CPU";
constexpr std::size_t kMaxHeadBytes = 1000;

// The only core of this process, which is never closed: the CPU plugin installs a signal stack with a core, and
// restores the former one, perhaps of another core and freed, when it is closed.
ov::Core& core() {
  static ov::Core* const only = [] {
    auto opened = std::make_unique<ov::Core>();
    const std::vector<std::string> devices = opened->get_available_devices();
    if (std::count(devices.begin(), devices.end(), kDevice) == 0) throw std::runtime_error("it has no CPU plugin");
    return opened.release();
  }();
  return *only;
}

// The last line of an exception: those before name source files of OpenVINO.
std::string reason(const std::exception& error) {
  std::string text = error.what();
  text.erase(text.find_last_not_of(" \n") + 1);
  return plain(text.substr(text.find_last_of('\n') + 1));
}

ov::Core& started_core() {
  try {
    return core();
  } catch (const std::exception& error) {
    throw config_error("OpenVINO does not start here (" + reason(error) +
                       "): install it again with its plugins, or use the engine onnxruntime");
  }
}

std::vector<std::int64_t> sizes_of(const ov::PartialShape& shape) {
  std::vector<std::int64_t> sizes;
  for (const ov::Dimension& size : shape) sizes.push_back(size.is_static() ? size.get_length() : 0);
  return sizes;
}

std::string dtype_name(const ov::element::Type& type) {
  if (type == ov::element::f32) return "float32";
  if (type == ov::element::f16) return "float16";
  if (type == ov::element::u8) return "uint8";
  return "another type";
}

class OpenVinoEngine : public Engine {
 public:
  OpenVinoEngine(const std::string& path, const GraphSpec& spec, const std::string& content, std::string weights,
                 bool is_onnx, int threads)
      : path_(path), weights_(std::move(weights)) {
    ov::Core& opened = started_core();
    // Streams share the cores, so threads are not tied to any.
    ov::AnyMap settings{{ov::num_streams.name(), ov::streams::Num(1)},
                        {ov::hint::inference_precision.name(), ov::element::f32},
                        {ov::hint::enable_cpu_pinning.name(), false}};
    // By default activations become int8 wherever weights are stored so, and similarities are wrong by up to 1e-3. An
    // OpenVINO graph of the bundle is computed as in Python, with which its accuracy was measured at export.
    if (is_onnx) settings[ov::hint::execution_mode.name()] = ov::hint::ExecutionMode::ACCURACY;
    if (threads > 0) settings[ov::inference_num_threads.name()] = threads;
    try {
      ov::Tensor weights_tensor;
      if (!weights_.empty()) weights_tensor = ov::Tensor(ov::element::u8, {weights_.size()}, weights_.data());
      compiled_ = opened.compile_model(opened.read_model(content, weights_tensor), kDevice, settings);
    } catch (const std::exception& error) {
      throw bundle_error(path_ + " is not a usable graph for OpenVINO (" + reason(error) +
                         "): export the bundle again, or use the engine onnxruntime");
    }
    check(spec.inputs, compiled_.inputs(), "input", is_onnx);
    check(spec.outputs, compiled_.outputs(), "output", is_onnx);
    input_ = spec.inputs.at(0);
    for (const TensorSpec& tensor : spec.outputs) outputs_.push_back(tensor.name);
    most_items_ = sizes_of(compiled_.input(0).get_partial_shape()).at(0) == 1 ? 1 : kAnyNumber;
    request_ = compiled_.create_infer_request();
  }

  Tensor run(const std::vector<float>& values, std::vector<std::int64_t> shape, const char* output) const override {
    return run_all(values, std::move(shape), output);
  }
  Tensor run(const std::vector<std::uint8_t>& values, std::vector<std::int64_t> shape,
             const char* output) const override {
    return run_all(values, std::move(shape), output);
  }

 private:
  // An OpenVINO graph need not keep the names, an ONNX graph has them.
  void check(const std::vector<TensorSpec>& declared, const std::vector<ov::Output<const ov::Node>>& found,
             const char* side, bool has_names) const {
    if (found.size() != declared.size()) {
      throw bundle_error(format("%s has %zu %ss, the manifest declares %zu: export the bundle again", path_.c_str(),
                                found.size(), side, declared.size()));
    }
    for (std::size_t place = 0; place < found.size(); ++place) {
      const TensorSpec& spec = declared[place];
      const std::vector<std::int64_t> sizes = sizes_of(found[place].get_partial_shape());
      const std::string dtype = dtype_name(found[place].get_element_type());
      const bool is_named = !has_names || found[place].get_names().count(spec.name) > 0;
      if (!is_named || dtype != spec.dtype || !shapes_agree(spec.shape, sizes)) {
        throw bundle_error(format("%s has %s %zu as %s %s, the manifest declares %s as %s %s: export the bundle again",
                                  path_.c_str(), side, place, dtype.c_str(), shape_text(sizes).c_str(),
                                  plain(spec.name).c_str(), spec.dtype.c_str(), shape_text(spec.shape).c_str()));
      }
    }
  }

  template <class Value>
  Tensor run_all(const std::vector<Value>& values, std::vector<std::int64_t> shape, const char* output) const {
    // OpenVINO would convert other types, and computes nothing for other shapes.
    const char* dtype = sizeof(Value) == 1 ? "uint8" : "float32";
    if (input_.dtype != dtype || !shapes_agree(input_.shape, shape)) {
      throw bundle_error(path_ + " takes " + input_.dtype + " " + shape_text(input_.shape) + ", it was given " + dtype +
                         " " + shape_text(shape) + ": export the bundle again");
    }
    return run_rows(most_items_, values, std::move(shape), [&](const Value* data, std::size_t, const auto& sizes) {
      return run_once(data, sizes, output);
    });
  }

  template <class Value>
  Tensor run_once(const Value* values, const std::vector<std::int64_t>& shape, const char* output) const {
    const auto found = std::find(outputs_.begin(), outputs_.end(), output);
    if (found == outputs_.end()) throw bundle_error(path_ + " has no output " + output + ": export the bundle again");
    Tensor result;
    try {
      const ov::Shape sizes(shape.begin(), shape.end());
      // The runtime does not write to its inputs.
      const ov::Tensor input(ov::element::from<Value>(), sizes, const_cast<Value*>(values));
      const std::lock_guard lock(mutex_);
      request_.set_input_tensor(0, input);
      request_.infer();
      const ov::Tensor given = request_.get_output_tensor(static_cast<std::size_t>(found - outputs_.begin()));
      for (const std::size_t size : given.get_shape()) result.shape.push_back(static_cast<std::int64_t>(size));
      if (given.get_element_type() == ov::element::f16) {
        const auto* data = given.data<const ov::float16>();
        result.values.assign(data, data + given.get_size());
      } else {
        const auto* data = given.data<const float>();
        result.values.assign(data, data + given.get_size());
      }
    } catch (const std::exception& error) {
      throw bundle_error(path_ + " fails on an input of shape " + shape_text(shape) + " (" + reason(error) +
                         "): export the bundle again");
    }
    require_finite(path_, result);
    return result;
  }

  std::string path_;
  // The compiled graph may go on using them.
  std::string weights_;
  ov::CompiledModel compiled_;
  TensorSpec input_;
  std::vector<std::string> outputs_;
  std::int64_t most_items_ = kAnyNumber;
  mutable std::mutex mutex_;
  mutable ov::InferRequest request_;
};

// The reader would also accept other formats, such as ONNX that points at other files.
void require_own_format(const std::string& path, const std::string& content) {
  const std::string head = content.substr(0, kMaxHeadBytes);
  const std::size_t start = head.find_first_not_of(" \t\r\n");
  if (start == std::string::npos || head.compare(start, 5, "<?xml") != 0 || head.find("<net ") == std::string::npos) {
    throw bundle_error(path + " is not an OpenVINO graph, expected its XML: export the bundle again");
  }
}

}  // namespace

std::unique_ptr<Engine> open_openvino(const std::string& folder, const GraphSpec& spec, const EngineSpec* engine,
                                      const std::map<std::string, FileEntry>& files, int threads) {
  const std::string& file = engine == nullptr ? spec.file : engine->file;
  const std::string path = folder + "/" + file;
  const std::string content = read_graph(folder, file, files.at(file));
  if (engine == nullptr) {
    check_self_contained(path, content);
    return std::make_unique<OpenVinoEngine>(path, spec, content, "", true, threads);
  }
  if (engine->companions.size() != 1) {
    throw bundle_error(path + " is declared without its weights, one .bin file: export the bundle again");
  }
  require_own_format(path, content);
  const std::string& companion = engine->companions.front();
  std::string weights = read_graph(folder, companion, files.at(companion));
  return std::make_unique<OpenVinoEngine>(path, spec, content, std::move(weights), false, threads);
}

std::string openvino_version() {
  const std::string build = ov::get_openvino_version().buildNumber;
  return build.substr(0, build.find('-'));
}

}  // namespace cavsync
