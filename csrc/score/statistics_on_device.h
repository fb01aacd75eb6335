// statistics_cuda() for images that are on the host: what tests and benchmarks compare.
#pragma once

#include "core/image_stack.h"

namespace imn::score {

// out (images.n, kStatistics), on the host like the images: copies to the GPU and back, and waits. Throws
// UnavailableError in a build without CUDA.
void statistics_on_device(const ImageStack& images, int device, float* out);

}  // namespace imn::score
