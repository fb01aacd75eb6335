// The kernel of preprocess_cuda() on the host, for tests: its body, run by an emulated thread block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "preprocess/preprocess_cuda.h"

namespace imn::preprocess {

// As preprocess_cuda(), on host memory. most_shared_bytes: of the device that is emulated; it decides whether images
// are kept in shared memory. seed: of the order in which threads and blocks run; 0 = as they are numbered.
void preprocess_emulated(const PreprocessCall& call, std::size_t most_shared_bytes, std::uint64_t seed);

// Whether images of so many pixels are kept in shared memory.
bool preprocess_fits(std::int64_t pixels, std::size_t most_shared_bytes);

}  // namespace imn::preprocess
