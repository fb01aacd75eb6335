// The body of preprocess_cuda()'s kernel, run on the host by emulated thread blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "preprocess/preprocess_cuda.h"

namespace imn::testing {

// As preprocess_cuda(), on host memory. most_shared_bytes: limit per block on the emulated device; decides whether
// images are kept in shared memory. seed: order in which threads and blocks run; 0: by number.
void preprocess_emulated(const preprocess::PreprocessCall& call, std::size_t most_shared_bytes, std::uint64_t seed);

// Whether the kernel keeps images with this many pixels in shared memory.
bool preprocess_fits(std::int64_t pixels, std::size_t most_shared_bytes);

}  // namespace imn::testing
