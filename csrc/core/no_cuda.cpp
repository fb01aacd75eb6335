// Replaces core/cuda/*.cpp in builds without CUDA.
#include "core/device.h"

namespace imn {

CudaFacts cuda_facts() { return {}; }

}  // namespace imn
