// Memory, copies and a stream on one GPU, by the CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace cavsync {

// The compute capability of the GPU number `device`, as in "89". A config error, as a clause about `what`, if CUDA shows no
// such GPU.
std::string compute_capability(int device, const std::string& what);

// Makes a GPU the current one of this thread, and the former one again.
class OnDevice {
 public:
  explicit OnDevice(int device);
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int former_ = 0;
  bool has_former_;
};

// A stream of its own, for which the rest of the device does not wait. Its GPU must be current whenever it is used. A config
// error if CUDA refuses.
class CudaStream {
 public:
  CudaStream();
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cudaStream_t get() const { return stream_; }
  // Start copying; `values` must not change before `synchronize`.
  void upload(void* address, const void* values, std::size_t size_bytes) const;
  void download(void* values, const void* address, std::size_t size_bytes) const;
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaMemory {
 public:
  explicit CudaMemory(std::size_t size_bytes);
  ~CudaMemory();
  CudaMemory(CudaMemory&& other) noexcept;
  CudaMemory& operator=(CudaMemory&&) = delete;

  void* address() const { return address_; }

 private:
  void* address_ = nullptr;
};

}  // namespace cavsync
