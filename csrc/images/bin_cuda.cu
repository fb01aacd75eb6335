#include "images/bin_cuda.h"

#include <algorithm>

#include "core/cuda/launch.h"
#include "images/bin_check.h"
#include "images/bin_continuous_kernel.h"
#include "images/bin_processed_kernel.h"

namespace imn::images {
namespace {

template <typename T>
__global__ void __launch_bounds__(ContinuousShape::kThreads, ContinuousShape::kBlocks)
    bin_continuous_kernel(PlanView plan, WindowStrip strip, const __grid_constant__ LaunchChunks<BinsView<T>> chunks,
                          double* carry, ImagesView images) {
  cuda::DeviceBlock block;
  bin_continuous_block<ContinuousShape>(block, plan, strip, chunks, carry, images, cuda::dynamic_shared());
}

template <bool Several, typename M, typename T>
__global__ void __launch_bounds__(ProcessedShape::kThreads, ProcessedShape::kBlocks)
    bin_processed_kernel(PlanView plan, WindowStrip strip, std::int32_t groups,
                         const __grid_constant__ LaunchChunks<PeaksView<M, T>> chunks, ImagesView images) {
  cuda::DeviceBlock block;
  bin_processed_block<ProcessedShape, Several>(block, plan, strip, groups, chunks, images, cuda::dynamic_shared_once());
}

dim3 grid(std::int32_t blocks) { return {static_cast<unsigned>(blocks)}; }

template <typename T>
void continuous(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<BinsView<T>>> given, double* carry,
                const ImagesView& images, cudaStream_t stream) {
  using Shape = ContinuousShape;
  check_chunks(strip, given, carry);
  each_launch<Shape>(given, continuous_window_blocks<Shape>(strip),
                     [&](const LaunchChunks<BinsView<T>>& chunks, std::int32_t blocks, std::int32_t layers) {
                       cuda::launch("bin_continuous_kernel", bin_continuous_kernel<T>, grid(blocks), Shape::kThreads,
                                    continuous_shared_bytes<Shape>(layers), stream, plan, strip, chunks, carry, images);
                     });
}

template <typename M, typename T>
void processed(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<PeaksView<M, T>>> given,
               const ImagesView& images, cudaStream_t stream) {
  using Shape = ProcessedShape;
  check_chunks(strip, given);
  const bool several =
      std::any_of(given.begin(), given.end(), [](const auto& chunk) { return chunk.pixels.layers > 1; });
  const std::int32_t groups = groups_of_block<Shape>(strip, several);
  each_launch<Shape>(
      given, blocks_for(groups_of(strip), groups),
      [&](const LaunchChunks<PeaksView<M, T>>& chunks, std::int32_t blocks, std::int32_t) {
        auto* const kernel = several ? bin_processed_kernel<true, M, T> : bin_processed_kernel<false, M, T>;
        cuda::launch("bin_processed_kernel", kernel, grid(blocks), Shape::kThreads,
                     processed_shared_bytes<Shape, M, T>(several), stream, plan, strip, groups, chunks, images);
      });
}

}  // namespace

DeviceWindowPlan::DeviceWindowPlan(const WindowPlan& plan, cudaStream_t stream)
    : lo_(cuda::upload(std::span(plan.windows.lo), stream)),
      hi_(cuda::upload(std::span(plan.windows.hi), stream)),
      reach_(cuda::upload(std::span(plan.reach), stream)),
      lut_(cuda::upload(std::span(plan.lut), stream)),
      first_(cuda::upload(std::span(plan.first), stream)),
      last_(cuda::upload(std::span(plan.last), stream)),
      view_{lo_.data(), hi_.data(), reach_.data(), lut_.data(), plan.cells, first_.data(), last_.data()} {}

void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<BinsView<float>>> chunks,
                         double* carry, const ImagesView& images, cudaStream_t stream) {
  continuous(plan, strip, chunks, carry, images, stream);
}
void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<BinsView<double>>> chunks,
                         double* carry, const ImagesView& images, cudaStream_t stream) {
  continuous(plan, strip, chunks, carry, images, stream);
}

void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<float, float>>> chunks, const ImagesView& images,
                        cudaStream_t stream) {
  processed(plan, strip, chunks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<float, double>>> chunks, const ImagesView& images,
                        cudaStream_t stream) {
  processed(plan, strip, chunks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<double, float>>> chunks, const ImagesView& images,
                        cudaStream_t stream) {
  processed(plan, strip, chunks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<double, double>>> chunks, const ImagesView& images,
                        cudaStream_t stream) {
  processed(plan, strip, chunks, images, stream);
}

}  // namespace imn::images
