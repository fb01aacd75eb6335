// The bodies of the kernels of statistics_cuda(), run on the host by emulated thread blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_stack.h"

namespace imn::testing {

struct Emulation {
  std::size_t shared_bytes;  // limit per block of the emulated device
  int multiprocessors;
  std::uint64_t seed;  // order of threads and blocks; 0: ascending
};

// Like prepare_mask_cuda() and statistics_cuda(), on host memory. out: (images.n, kStatistics).
void statistics_emulated(const ImageStack& images, const Emulation& emulation, float* out);

// Returns whether the kernel counts objects in shared memory.
bool chaos_fits(std::int32_t height, std::int32_t width, std::size_t shared_bytes);

}  // namespace imn::testing
