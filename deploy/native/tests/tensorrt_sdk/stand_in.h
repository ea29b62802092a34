// What a test sets and sees of the stand-ins for CUDA and TensorRT. Device memory is memory of the host, and work is done at
// once.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

struct StandIn {
  // The machine.
  int num_gpus = 1;
  int capability_major = 8, capability_minor = 9;
  bool has_driver = true;
  std::size_t memory_bytes = 1 << 20;
  std::int32_t version[4] = {11, 4, 0, 106};
  // The call that fails, as in "enqueueV3".
  std::string failing;
  // What is alive, and what was asked for.
  int live_memory = 0, live_streams = 0, live_objects = 0;
  std::size_t used_bytes = 0;
  std::vector<std::int64_t> batches;
  std::mutex mutex;
};

StandIn& stand_in();

// An engine of the stand-in, as the bytes of its file. From the one input it computes, for each item, `scale` times the sum
// of its values, plus the number of the output's value. Shapes are without the batch.
struct StandInTensor {
  std::string name;
  std::string mode;
  std::string dtype;
  std::vector<std::int64_t> shape;
};
std::string plan_of(const std::vector<StandInTensor>& tensors, std::int64_t least, std::int64_t most, double scale = 1);
