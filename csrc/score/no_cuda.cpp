// Replaces statistics_cuda.cu in a build without CUDA.
#include "core/error.h"
#include "score/statistics_cuda.h"

namespace imn::score {
namespace {

[[noreturn]] void refuse() {
  throw UnavailableError("built without CUDA: statistics do not run on a GPU; install a build with CUDA");
}

}  // namespace

void prepare_mask_cuda(const std::uint8_t*, std::int32_t, std::int32_t, void*, void*) { refuse(); }

std::size_t statistics_scratch_bytes(std::int64_t, std::int32_t, std::int32_t, bool) { refuse(); }

void statistics_cuda(const StatisticsCall&, void*) { refuse(); }

}  // namespace imn::score
