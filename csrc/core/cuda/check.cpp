#include "core/cuda/check.h"

#include <string>

namespace imn::cuda {

CudaError::CudaError(const char* call, cudaError_t code)
    : Error(std::string(call) + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")"), code_(code) {}

void fail(const char* call, cudaError_t code) {
  // The run-time library reports the last error again at the next launch; clear it, since it is thrown here.
  (void)cudaGetLastError();
  throw CudaError(call, code);
}

}  // namespace imn::cuda
