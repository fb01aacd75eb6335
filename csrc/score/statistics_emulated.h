// The kernels of statistics_cuda() on the host, for tests: their bodies, run by emulated thread blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_stack.h"

namespace imn::score {

struct Emulation {
  std::size_t shared_bytes;  // a block may have, on the device that is emulated
  int multiprocessors;
  std::uint64_t seed;  // of the order in which threads and blocks run; 0 = as they are numbered
};

// As prepare_section_cuda() and statistics_cuda(), on host memory: out (images.n, kStatistics).
void statistics_emulated(const ImageStack& images, const Emulation& emulation, float* out);

// Whether objects are counted in shared memory.
bool chaos_fits(std::int32_t height, std::int32_t width, std::size_t shared_bytes);

}  // namespace imn::score
