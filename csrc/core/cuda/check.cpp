#include "core/cuda/check.h"

#include <string>

namespace imn::cuda {

CudaError::CudaError(const char* call, cudaError_t code)
    : Error(std::string(call) + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")"), code_(code) {}

void fail(const char* call, cudaError_t code) {
  // The run-time library repeats the last error at the next launch; it has been told here.
  (void)cudaGetLastError();
  throw CudaError(call, code);
}

}  // namespace imn::cuda
