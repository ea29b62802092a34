// The stand-in for the CUDA runtime.
#include <cuda_runtime_api.h>

#include <cstring>
#include <map>

#include "stand_in.h"

namespace {

thread_local int current_device = 0;
// By address.
std::map<char*, std::size_t> blocks;
int stream_mark;

// Whether the bytes lie inside one block.
bool is_allocated(const void* address, std::size_t size) {
  auto after = blocks.upper_bound(const_cast<char*>(static_cast<const char*>(address)));
  if (after == blocks.begin()) return false;
  const auto& [start, length] = *--after;
  return static_cast<const char*>(address) + size <= start + length;
}

cudaError_t answer(const char* function, cudaError_t failure = cudaErrorLaunchFailure) {
  StandIn& machine = stand_in();
  if (!machine.has_driver) return cudaErrorInsufficientDriver;
  return machine.failing == function ? failure : cudaSuccess;
}

bool is_stream(cudaStream_t stream) { return static_cast<void*>(stream) == &stream_mark; }

}  // namespace

StandIn& stand_in() {
  static StandIn machine;
  return machine;
}

extern "C" {

cudaError_t cudaGetLastError(void) { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidValue: return "invalid argument";
    default: return "unspecified launch failure";
  }
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = stand_in().num_gpus;
  return answer("cudaGetDeviceCount");
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return answer("cudaGetDevice");
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= stand_in().num_gpus) return cudaErrorInvalidDevice;
  current_device = device;
  return answer("cudaSetDevice");
}

cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr attr, int) {
  const bool is_major = attr == cudaDevAttrComputeCapabilityMajor;
  if (!is_major && attr != cudaDevAttrComputeCapabilityMinor) return cudaErrorInvalidValue;
  *value = is_major ? stand_in().capability_major : stand_in().capability_minor;
  return answer("cudaDeviceGetAttribute");
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* pStream, unsigned int flags) {
  if (flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
  if (const cudaError_t status = answer("cudaStreamCreateWithFlags"); status != cudaSuccess) return status;
  *pStream = reinterpret_cast<cudaStream_t>(&stream_mark);
  ++stand_in().live_streams;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!is_stream(stream)) return cudaErrorInvalidValue;
  --stand_in().live_streams;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return is_stream(stream) ? answer("cudaStreamSynchronize") : cudaErrorInvalidValue;
}

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  StandIn& machine = stand_in();
  const std::lock_guard lock(machine.mutex);
  if (const cudaError_t status = answer("cudaMalloc"); status != cudaSuccess) return status;
  if (machine.used_bytes + size > machine.memory_bytes) return cudaErrorMemoryAllocation;
  auto* block = new char[size];
  blocks[block] = size;
  machine.used_bytes += size;
  ++machine.live_memory;
  *devPtr = block;
  return cudaSuccess;
}

cudaError_t cudaFree(void* devPtr) {
  StandIn& machine = stand_in();
  const std::lock_guard lock(machine.mutex);
  const auto found = blocks.find(static_cast<char*>(devPtr));
  if (found == blocks.end()) return cudaErrorInvalidValue;
  machine.used_bytes -= found->second;
  --machine.live_memory;
  delete[] found->first;
  blocks.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, enum cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(stand_in().mutex);
  const void* device = kind == cudaMemcpyHostToDevice ? dst : src;
  if (!is_stream(stream) || !is_allocated(device, count)) return cudaErrorInvalidValue;
  const cudaError_t status = answer(kind == cudaMemcpyHostToDevice ? "upload" : "download");
  if (status == cudaSuccess) std::memcpy(dst, src, count);
  return status;
}

}  // extern "C"
