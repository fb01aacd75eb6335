// DeviceNetwork: a network that works in a stream on device memory, such as TensorRT or compiled torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "preprocess/element_type.h"

namespace imn::score {

struct DeviceNetworkInfo {
  std::string name;       // "tensorrt", "torch"
  std::string precision;  // of its arithmetic
  std::int64_t batch = 1;
  preprocess::ElementType image_type = preprocess::ElementType::f32;
  std::int32_t channels = 1;
  std::int32_t size = 224;  // height and width of an image
  std::int32_t n_outputs = 0;
  std::int32_t n_statistics = 0;  // 0: no second input
};

// `enqueue` puts the work for one full batch into `stream` (a cudaStream_t) and returns without waiting for it:
// image (batch, channels, size, size) of image_type, statistics (batch, n_statistics) float32 or null, outputs
// (batch, n_outputs) float32, all contiguous in device memory; one loop uses a few sets of addresses in turn.
// The caller pads a partial batch. An exception ends the loop.
struct DeviceNetwork {
  DeviceNetworkInfo info;
  std::function<void(const void* image, const float* statistics, float* outputs, void* stream)> enqueue;
};

// Throws ArgumentError if a size or count is invalid.
void check_device_network(const DeviceNetwork& network);

}  // namespace imn::score
