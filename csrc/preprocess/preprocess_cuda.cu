#include "preprocess/preprocess_cuda.h"

#include "core/cuda/launch.h"
#include "preprocess/preprocess_kernels.h"

namespace imn::preprocess {
namespace {

template <bool kInShared, bool kPublished>
__global__ void __launch_bounds__(1024, 1) preprocess_kernel(PreprocessCall call) {
  cuda::DeviceBlock block;
  preprocess_block<kInShared, kPublished>(block, call, cuda::dynamic_shared());
}

template <bool kInShared>
auto kernel_for(const PreprocessId& id) {
  return is_published(id) ? &preprocess_kernel<kInShared, true> : &preprocess_kernel<kInShared, false>;
}

}  // namespace

void preprocess_cuda(const PreprocessCall& call, void* stream) {
  check_call(call);
  const PreprocessPlan plan = plan_preprocess(call.images.pixels(), cuda::max_shared_bytes());
  cuda::launch("preprocess_cuda", plan.in_shared ? kernel_for<true>(call.id) : kernel_for<false>(call.id),
               dim3(static_cast<unsigned>(call.images.n)), plan.threads, plan.shared_bytes,
               static_cast<cudaStream_t>(stream), call);
}

}  // namespace imn::preprocess
