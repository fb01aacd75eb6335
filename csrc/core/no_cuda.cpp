// Takes the place of core/cuda/*.cpp in a build without CUDA.
#include "core/device.h"

namespace imn {

CudaFacts cuda_facts() { return {}; }

}  // namespace imn
