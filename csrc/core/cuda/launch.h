// Kernel launches for .cu files: the only place that uses <<<...>>>.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "core/cuda/check.h"

namespace imn::cuda {

// Returns the maximum dynamic shared memory per block of the current device (227 KB on compute capability 9.0).
inline std::size_t max_shared_bytes() {
  int device = 0;
  int bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return static_cast<std::size_t>(bytes);
}

// Enqueues kernel(arguments...). Errors are reported under `name`. CUDA requires an explicit request for more than 48
// KiB of shared memory; this always requests the maximum, because a smaller request by another thread would lower the
// limit for this launch. Does nothing if the grid is empty.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, std::size_t shared_bytes,
            cudaStream_t stream, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t kGranted = 48 * 1024;
  if (shared_bytes > kGranted) {
    const cudaError_t granted =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(max_shared_bytes()));
    if (granted != cudaSuccess) fail((std::string(name) + ": shared memory").c_str(), granted);
  }
  kernel<<<grid, static_cast<unsigned>(threads), shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  const cudaError_t launched = cudaGetLastError();
  if (launched != cudaSuccess) fail(name, launched);
}

}  // namespace imn::cuda
