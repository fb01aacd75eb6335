#include "preprocess/preprocess_cuda.h"

#include "core/cuda/launch.h"
#include "preprocess/preprocess_kernels.h"

namespace imn::preprocess {
namespace {

template <bool kInShared>
__global__ void __launch_bounds__(1024, 1) preprocess_kernel(PreprocessCall call) {
  cuda::DeviceBlock block;
  preprocess_block<kInShared>(block, call, cuda::dynamic_shared());
}

}  // namespace

void preprocess_cuda(const PreprocessCall& call, void* stream) {
  check_call(call);
  const PreprocessPlan plan = plan_preprocess(call.images.pixels(), cuda::max_shared_bytes());
  cuda::launch("preprocess_cuda", plan.in_shared ? &preprocess_kernel<true> : &preprocess_kernel<false>,
               dim3(static_cast<unsigned>(call.images.n)), plan.threads, plan.shared_bytes,
               static_cast<cudaStream_t>(stream), call);
}

}  // namespace imn::preprocess
