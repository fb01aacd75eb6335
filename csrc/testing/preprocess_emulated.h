// The body of the kernel of preprocess_cuda(), run on the host by emulated thread blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "preprocess/preprocess_cuda.h"

namespace imn::testing {

// Like preprocess_cuda(), on host memory. most_shared_bytes is the limit per block of the emulated device, which
// decides whether images are kept in shared memory. seed determines the order of threads and blocks; 0: ascending.
void preprocess_emulated(const preprocess::PreprocessCall& call, std::size_t most_shared_bytes, std::uint64_t seed);

// Returns whether the kernel keeps images with this many pixels in shared memory.
bool preprocess_fits(std::int64_t pixels, std::size_t most_shared_bytes);

}  // namespace imn::testing
