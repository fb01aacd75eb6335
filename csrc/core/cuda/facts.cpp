// Collects the facts for device_status() without requiring a driver or creating a context on any device.
#include <cuda_runtime_api.h>

#include "core/device.h"

namespace imn {

CudaFacts cuda_facts() {
  CudaFacts facts;
  facts.built = true;
  facts.toolkit = CUDART_VERSION;
  facts.architectures = IMN_CUDA_ARCHITECTURES;
  if (cudaDriverGetVersion(&facts.driver) != cudaSuccess) facts.driver = 0;
  if (facts.driver == 0) return facts;
  int count = 0;
  const cudaError_t listed = cudaGetDeviceCount(&count);
  if (listed != cudaSuccess) {
    (void)cudaGetLastError();
    facts.error = cudaGetErrorString(listed);
    return facts;  // the count was not set
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    const cudaError_t described = cudaGetDeviceProperties(&properties, i);
    if (described != cudaSuccess) {
      (void)cudaGetLastError();
      facts.error = cudaGetErrorString(described);
      facts.found.clear();
      return facts;
    }
    facts.found.push_back({i,
                           properties.name,
                           properties.major,
                           properties.minor,
                           static_cast<std::int64_t>(properties.totalGlobalMem),
                           properties.multiProcessorCount,
                           {}});
  }
  return facts;
}

}  // namespace imn
