#include "score/statistics_cuda.h"

#include "core/cuda/launch.h"
#include "score/statistics_kernels.h"

namespace imn::score {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kMostThreads, Kernel::kLeastBlocks) kernel(Kernel body) {
  cuda::DeviceBlock block;
  body(block, cuda::dynamic_shared());
}

struct Launch {
  cudaStream_t stream;

  template <typename Kernel>
  void operator()(const char* name, int blocks, int threads, std::size_t shared_bytes, const Kernel& body) const {
    cuda::launch(name, &kernel<Kernel>, dim3(static_cast<unsigned>(blocks)), threads, shared_bytes, stream, body);
  }
};

LaunchLimits launch_limits() {
  int device = 0;
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    cuda::check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
    return value;
  };
  return {cuda::max_shared_bytes(), static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor)),
          attribute(cudaDevAttrMultiProcessorCount)};
}

}  // namespace

void prepare_mask_cuda(const std::uint8_t* mask, std::int32_t height, std::int32_t width, void* mask_facts,
                       void* stream) {
  run_mask(mask, height, width, mask_facts, Launch{static_cast<cudaStream_t>(stream)});
}

std::size_t statistics_scratch_bytes(std::int64_t n, std::int32_t height, std::int32_t width, bool roots) {
  return plan_statistics(n, height, width, launch_limits(), roots).bytes;
}

void statistics_cuda(const StatisticsCall& call, void* stream) {
  if (call.images.n <= 0) return;
  const StatisticsPlan plan =
      plan_statistics(call.images.n, call.images.height, call.images.width, launch_limits(), call.roots);
  StatisticsCall ready = call;
  if (call.facts == nullptr) {
    const preprocess::PreprocessCall facts = facts_call(call, plan);
    preprocess::preprocess_cuda(facts, stream);
    ready.facts = facts.facts;
  }
  run_statistics(ready, plan, Launch{static_cast<cudaStream_t>(stream)});
}

}  // namespace imn::score
