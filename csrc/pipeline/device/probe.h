// The stages of the device loop one at a time, with their results on the host: to test and to measure a backend.
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

// `seconds` is the device's time for one repetition; not measured with 0 repetitions.
struct BinProbe {
  double seconds = 0;
  std::int64_t chunk_bytes = 0;  // of the file, as it lies on the device
  std::vector<std::int64_t> chunk_pixels;
};

// Bins one image per window, in their order: (n, height, width), pixels without a spectrum 0. Throws ArgumentError if
// the file does not fit into the device's memory. `out` may be empty.
BinProbe bin_on_device(const io::Plane& plane, std::span<const images::MzWindow> windows, DeviceBackend& backend,
                       const MemoryLimits& limits, int threads, int repeat, std::span<float> out);

struct ReadProbe {
  double seconds = 0;
  double first_chunk_s = 0;
  std::int64_t chunks = 0;
  std::int64_t bytes = 0;
};

// Fills every chunk of the device loop into ordinary memory: reading alone, without a device. `batch`: images per call
// of the network that the strips would be cut for.
ReadProbe read_chunks(const io::Plane& plane, std::span<const images::MzWindow> windows, std::int64_t batch,
                      const MemoryLimits& limits, int threads);

struct PrepareProbe {
  double seconds = 0;
  std::vector<std::byte> input;               // (n, channels, size, size) of the setup's type
  std::vector<preprocess::ImageFacts> facts;  // (n)
  std::vector<float> statistics;              // (n, number of requested statistics)
};

// `setup`: id, type and statistics; height, width, mask, tables and max_images are taken from the stack.
PrepareProbe prepare_on_device(const ImageStack& stack, PrepareSetup setup, DeviceBackend& backend, int repeat);

// Seconds per copy of `bytes`: within the device, or from pinned memory to it.
double copy_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat);
double upload_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat);

}  // namespace imn::pipeline
