#include "onnx_providers.h"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <memory>

#include "error.h"
#include "onnx_engine.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr const char* kCuda = "cuda";
constexpr const char* kTensorRt = "tensorrt";

struct Provider {
  const char* name;
  const char* runtime_name;
};
constexpr std::array<Provider, 3> kProviders = {{{kCpuProvider, "CPUExecutionProvider"},
                                                 {kCuda, "CUDAExecutionProvider"},
                                                 {kTensorRt, "TensorrtExecutionProvider"}}};

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Options of a provider, which the runtime frees.
void append_cuda(Ort::SessionOptions& session_options, const char* device) {
  const OrtApi& api = Ort::GetApi();
  OrtCUDAProviderOptionsV2* options = nullptr;
  Ort::ThrowOnError(api.CreateCUDAProviderOptions(&options));
  const std::unique_ptr<OrtCUDAProviderOptionsV2, void(ORT_API_CALL*)(OrtCUDAProviderOptionsV2*)> owned(
      options, api.ReleaseCUDAProviderOptions);
  const char* key = "device_id";
  Ort::ThrowOnError(api.UpdateCUDAProviderOptions(options, &key, &device, 1));
  session_options.AppendExecutionProvider_CUDA_V2(*options);
}

void append_tensorrt(Ort::SessionOptions& session_options, const char* device) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorRTProviderOptionsV2* options = nullptr;
  Ort::ThrowOnError(api.CreateTensorRTProviderOptions(&options));
  const std::unique_ptr<OrtTensorRTProviderOptionsV2, void(ORT_API_CALL*)(OrtTensorRTProviderOptionsV2*)> owned(
      options, api.ReleaseTensorRTProviderOptions);
  const char* key = "device_id";
  Ort::ThrowOnError(api.UpdateTensorRTProviderOptions(options, &key, &device, 1));
  session_options.AppendExecutionProvider_TensorRT_V2(*options);
}

}  // namespace

std::string short_provider_name(const std::string& name) {
  for (const Provider& provider : kProviders) {
    if (name == provider.name || name == provider.runtime_name) return provider.name;
  }
  throw config_error("execution provider " + plain(name) + " is not known: use cpu, cuda or tensorrt");
}

const std::vector<std::string>& provider_names() {
  static const std::vector<std::string> names = [] {
    const std::vector<std::string> available = Ort::GetAvailableProviders();
    std::vector<std::string> found;
    for (const Provider& provider : kProviders) {
      const bool is_there = std::count(available.begin(), available.end(), provider.runtime_name) > 0;
      if (is_there) found.push_back(provider.name);
    }
    return found;
  }();
  return names;
}

void append_provider(Ort::SessionOptions& session_options, const EngineOptions& options) {
  const std::string provider = short_provider_name(options.provider);
  const std::vector<std::string>& available = provider_names();
  if (std::count(available.begin(), available.end(), provider) == 0) {
    throw config_error("execution provider " + provider + " is not available, this ONNX Runtime " +
                       onnx_runtime_version() + " has " + listed(available) +
                       ": use one of these, or the library of an ONNX Runtime that was built with it");
  }
  if (provider == kCpuProvider) return;
  const std::string device = std::to_string(options.device);
  try {
    if (provider == kTensorRt) append_tensorrt(session_options, device.c_str());
    // What TensorRT leaves to others is computed on the same GPU.
    if (provider == kCuda || std::count(available.begin(), available.end(), kCuda) > 0) {
      append_cuda(session_options, device.c_str());
    }
  } catch (const Ort::Exception& error) {
    throw config_error("execution provider " + provider + " is installed but does not start on device " + device +
                       " (" + plain(error.what()) + "): check the GPU, its driver and libraries, or use cpu");
  }
}

}  // namespace cavsync
