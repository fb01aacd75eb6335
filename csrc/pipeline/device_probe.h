// The stages on a device, one at a time, with their results on the host: for tests of a backend, and to measure it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/plane.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/plan.h"

namespace imn::pipeline {

// Seconds are those of the device alone, of one repetition; 0 repetitions: not measured.
struct BinProbe {
  double seconds = 0;
  std::int64_t chunk_bytes = 0;  // of the file, as it lies on the device
  std::vector<std::int64_t> chunk_pixels;
};

// All images of the windows, in their order: (n, height, width), pixels without a spectrum 0. The file must fit into
// the device (ArgumentError). `out` may be empty.
BinProbe bin_on_device(const io::Plane& dataset, std::span<const images::MzWindow> windows, DeviceBackend& backend,
                       const DeviceLimits& limits, int threads, int repeat, std::span<float> out);

struct ReadProbe {
  double seconds = 0;
  double first_chunk_s = 0;
  std::int64_t chunks = 0;
  std::int64_t bytes = 0;
};

// Fills every chunk of the device loop, into ordinary memory: reading alone, without a device. `batch`: of the scorer
// that the blocks would be cut for.
ReadProbe read_chunks(const io::Plane& dataset, std::span<const images::MzWindow> windows, std::int64_t batch,
                      const DeviceLimits& limits, int threads);

struct PrepareProbe {
  double seconds = 0;
  std::vector<std::byte> input;               // (n, channels, 224, 224) of the section's type
  std::vector<preprocess::ImageFacts> facts;  // (n)
  std::vector<float> statistics;              // (n, as many as wanted)
};

// `section`: what is wanted; height, width, mask and most are taken from the stack.
PrepareProbe prepare_on_device(const ImageStack& stack, DeviceSection section, DeviceBackend& backend, int repeat);

// Seconds of one copy of so many bytes: on the device, or from pinned memory to it.
double copy_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat);
double upload_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat);

}  // namespace imn::pipeline
