#include "testing/preprocess_emulated.h"

#include "preprocess/preprocess_kernels.h"
#include "testing/host_block.h"

namespace imn::testing {

namespace {

template <bool kPublished>
void run(HostBlock& block, const preprocess::PreprocessPlan& plan, const preprocess::PreprocessCall& call,
         void* shared) {
  if (plan.in_shared) {
    preprocess::preprocess_block<true, kPublished>(block, call, shared);
  } else {
    preprocess::preprocess_block<false, kPublished>(block, call, shared);
  }
}

}  // namespace

void preprocess_emulated(const preprocess::PreprocessCall& call, std::size_t most_shared_bytes, std::uint64_t seed) {
  preprocess::check_call(call);
  const preprocess::PreprocessPlan plan = preprocess::plan_preprocess(call.images.pixels(), most_shared_bytes);
  emulate_grid(static_cast<int>(call.images.n), 1, plan.threads, plan.shared_bytes, seed,
               [&](HostBlock& block, void* shared) {
                 if (preprocess::is_published(call.id)) {
                   run<true>(block, plan, call, shared);
                 } else {
                   run<false>(block, plan, call, shared);
                 }
               });
}

bool preprocess_fits(std::int64_t pixels, std::size_t most_shared_bytes) {
  return preprocess::plan_preprocess(pixels, most_shared_bytes).in_shared;
}

}  // namespace imn::testing
