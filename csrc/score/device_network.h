// DeviceNetwork: a network that reads and writes device memory and works in a stream: TensorRT, compiled torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "preprocess/element_type.h"

namespace imn::score {

struct DeviceNetworkInfo {
  std::string name;       // "tensorrt", "torch"
  std::string precision;  // what it computes in
  std::int64_t batch = 1;
  preprocess::ElementType image_type = preprocess::ElementType::f32;
  std::int32_t channels = 1;
  std::int32_t n_outputs = 0;
  std::int32_t n_statistics = 0;  // 0: there is no second input
};

// `enqueue` puts the work for one full batch into `stream` (a cudaStream_t) and returns without waiting for it:
// image (batch, channels, 224, 224) of image_type, statistics (batch, n_statistics) float32 or null, outputs
// (batch, n_outputs) float32, all contiguous in device memory; the calls of one loop take a few sets of addresses in
// turn. A part of a batch is padded by the caller. What it throws ends the loop.
struct DeviceNetwork {
  DeviceNetworkInfo info;
  std::function<void(const void* image, const float* statistics, float* outputs, void* stream)> enqueue;
};

// Throws ArgumentError unless sizes and counts make sense.
void check_device_network(const DeviceNetwork& network);

}  // namespace imn::score
