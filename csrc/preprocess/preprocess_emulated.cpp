#include "preprocess/preprocess_emulated.h"

#include "preprocess/preprocess_kernels.h"

namespace imn::preprocess {

void preprocess_emulated(const PreprocessCall& call, std::size_t most_shared_bytes, std::uint64_t seed) {
  check_call(call);
  const PreprocessPlan plan = plan_preprocess(call.images.pixels(), most_shared_bytes);
  cuda::emulate_grid(static_cast<int>(call.images.n), 1, plan.threads, plan.shared_bytes, seed,
                     [&](cuda::HostBlock& block, void* shared) {
                       if (plan.in_shared) {
                         preprocess_block<true>(block, call, shared);
                       } else {
                         preprocess_block<false>(block, call, shared);
                       }
                     });
}

bool preprocess_fits(std::int64_t pixels, std::size_t most_shared_bytes) {
  return plan_preprocess(pixels, most_shared_bytes).in_shared;
}

}  // namespace imn::preprocess
