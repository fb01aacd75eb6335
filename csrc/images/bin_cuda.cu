#include "images/bin_cuda.h"

#include "core/cuda/launch.h"
#include "images/bin_check.h"
#include "images/bin_kernels.h"

namespace imn::images {
namespace {

template <typename T>
__global__ void __launch_bounds__(ContinuousShape::kThreads, ContinuousShape::kBlocks)
    bin_continuous_kernel(PlanView plan, WindowStrip strip, PixelView pixels, BinsView<T> bins, double* carry,
                          ImagesView images) {
  cuda::DeviceBlock block;
  bin_continuous_block<ContinuousShape>(block, plan, strip, pixels, bins, carry, images, cuda::dynamic_shared());
}

template <typename Sum, typename M, typename T>
__global__ void __launch_bounds__(ProcessedShape::kThreads, ProcessedShape::kBlocks)
    bin_processed_kernel(PlanView plan, WindowStrip strip, PixelView pixels, PeaksView<M, T> peaks, ImagesView images) {
  cuda::DeviceBlock block;
  bin_processed_block<ProcessedShape, Sum>(block, plan, strip, pixels, peaks, images, cuda::dynamic_shared());
}

dim3 grid(std::int32_t x, std::int32_t y) { return {static_cast<unsigned>(x), static_cast<unsigned>(y)}; }

template <typename T>
void continuous(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const BinsView<T>& bins,
                double* carry, const ImagesView& images, cudaStream_t stream) {
  check_bins(strip, pixels, bins);
  cuda::launch("bin_continuous_kernel", bin_continuous_kernel<T>,
               grid(pixel_blocks<ContinuousShape>(pixels), continuous_window_blocks<ContinuousShape>(strip)),
               ContinuousShape::kThreads, continuous_shared_bytes<ContinuousShape>(pixels.layers), stream, plan, strip,
               pixels, bins, carry, images);
}

template <typename M, typename T>
void processed(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const PeaksView<M, T>& peaks,
               const ImagesView& images, cudaStream_t stream) {
  check_strip(strip, pixels);
  const dim3 blocks = grid(pixel_blocks<ProcessedShape>(pixels), processed_window_blocks<ProcessedShape>(strip));
  const auto launch = [&](auto* kernel, std::size_t shared_bytes) {
    cuda::launch("bin_processed_kernel", kernel, blocks, ProcessedShape::kThreads, shared_bytes, stream, plan, strip,
                 pixels, peaks, images);
  };
  if (pixels.layers > 1) {
    launch(bin_processed_kernel<double, M, T>, processed_shared_bytes<ProcessedShape, double>());
  } else {
    launch(bin_processed_kernel<float, M, T>, processed_shared_bytes<ProcessedShape, float>());
  }
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

void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const BinsView<float>& bins,
                         double* carry, const ImagesView& images, cudaStream_t stream) {
  continuous(plan, strip, pixels, bins, carry, images, stream);
}
void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const BinsView<double>& bins,
                         double* carry, const ImagesView& images, cudaStream_t stream) {
  continuous(plan, strip, pixels, bins, carry, images, stream);
}

void bin_processed_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                        const PeaksView<float, float>& peaks, const ImagesView& images, cudaStream_t stream) {
  processed(plan, strip, pixels, peaks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                        const PeaksView<float, double>& peaks, const ImagesView& images, cudaStream_t stream) {
  processed(plan, strip, pixels, peaks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                        const PeaksView<double, float>& peaks, const ImagesView& images, cudaStream_t stream) {
  processed(plan, strip, pixels, peaks, images, stream);
}
void bin_processed_cuda(const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                        const PeaksView<double, double>& peaks, const ImagesView& images, cudaStream_t stream) {
  processed(plan, strip, pixels, peaks, images, stream);
}

}  // namespace imn::images
