// preprocess_cuda() for images that are on the host: what tests and benchmarks compare.
#pragma once

#include "preprocess/preprocess_cuda.h"

namespace imn::preprocess {

// As preprocess_cuda(), with addresses on the host: copies to the GPU and back, and waits. Throws UnavailableError in a
// build without CUDA.
void preprocess_on_device(const PreprocessCall& call, int device);

}  // namespace imn::preprocess
