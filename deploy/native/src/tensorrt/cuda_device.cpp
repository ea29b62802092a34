#include "tensorrt/cuda_device.h"

#include <utility>

#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

void require(const char* function, cudaError_t status) {
  if (status == cudaSuccess) return;
  // Not an error of the caller's next call.
  cudaGetLastError();
  throw config_error(std::string(function) + " fails on this machine (" + plain(cudaGetErrorString(status)) +
                     "): check the driver and the free memory with nvidia-smi, or score with ONNX Runtime");
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  require("cudaDeviceGetAttribute", cudaDeviceGetAttribute(&value, name, device));
  return value;
}

}  // namespace

std::string compute_capability(int device, const std::string& what) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    cudaGetLastError();
    const std::string reason = status == cudaSuccess ? "there is none" : plain(cudaGetErrorString(status));
    throw config_error(what + " needs an NVIDIA GPU, and here CUDA shows none (" + reason +
                       "): run it on a machine with one, or score with ONNX Runtime");
  }
  if (device >= count) {
    throw config_error(
        format("GPU number %d does not exist, CUDA shows %d: give a smaller number as device", device, count));
  }
  return std::to_string(attribute(cudaDevAttrComputeCapabilityMajor, device)) +
         std::to_string(attribute(cudaDevAttrComputeCapabilityMinor, device));
}

OnDevice::OnDevice(int device) : has_former_(cudaGetDevice(&former_) == cudaSuccess) {
  require("cudaSetDevice", cudaSetDevice(device));
}

OnDevice::~OnDevice() {
  if (has_former_) cudaSetDevice(former_);
}

CudaStream::CudaStream() {
  require("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

CudaStream::~CudaStream() { cudaStreamDestroy(stream_); }

void CudaStream::upload(void* address, const void* values, std::size_t size_bytes) const {
  require("cudaMemcpyAsync", cudaMemcpyAsync(address, values, size_bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaStream::download(void* values, const void* address, std::size_t size_bytes) const {
  require("cudaMemcpyAsync", cudaMemcpyAsync(values, address, size_bytes, cudaMemcpyDeviceToHost, stream_));
}

void CudaStream::synchronize() const { require("cudaStreamSynchronize", cudaStreamSynchronize(stream_)); }

CudaMemory::CudaMemory(std::size_t size_bytes) { require("cudaMalloc", cudaMalloc(&address_, size_bytes)); }

CudaMemory::~CudaMemory() {
  if (address_ != nullptr) cudaFree(address_);
}

CudaMemory::CudaMemory(CudaMemory&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}

}  // namespace cavsync
