// Checks of CUDA run-time calls, and the exception that names the failed call.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace imn::cuda {

// what() is "<call>: <CUDA's text> (<CUDA's name>)"; `call` names the function and, where helpful, its purpose.
class CudaError : public Error {
 public:
  CudaError(const char* call, cudaError_t code);
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

[[noreturn]] void fail(const char* call, cudaError_t code);

inline void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) fail(call, code);
}

}  // namespace imn::cuda
