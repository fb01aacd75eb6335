// The binning kernels on emulated thread blocks.
#pragma once

#include <cstdint>

#include "images/bin_check.h"
#include "images/bin_kernels.h"

namespace imn::images {

template <typename T>
void emulate_continuous(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const BinsView<T>& bins,
                        double* carry, const ImagesView& images, std::uint64_t seed) {
  using Shape = ContinuousShape;
  check_bins(strip, pixels, bins);
  cuda::emulate_grid(pixel_blocks<Shape>(pixels), continuous_window_blocks<Shape>(strip), Shape::kThreads,
                     continuous_shared_bytes<Shape>(pixels.layers), seed, [&](cuda::HostBlock& block, void* shared) {
                       bin_continuous_block<Shape>(block, plan, strip, pixels, bins, carry, images, shared);
                     });
}

template <typename Sum, typename M, typename T>
void emulate_processed_with(const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                            const PeaksView<M, T>& peaks, const ImagesView& images, std::uint64_t seed) {
  using Shape = ProcessedShape;
  cuda::emulate_grid(pixel_blocks<Shape>(pixels), processed_window_blocks<Shape>(strip), Shape::kThreads,
                     processed_shared_bytes<Shape, Sum>(), seed, [&](cuda::HostBlock& block, void* shared) {
                       bin_processed_block<Shape, Sum>(block, plan, strip, pixels, peaks, images, shared);
                     });
}

template <typename M, typename T>
void emulate_processed(const PlanView& plan, WindowStrip strip, const PixelView& pixels, const PeaksView<M, T>& peaks,
                       const ImagesView& images, std::uint64_t seed) {
  check_strip(strip, pixels);
  if (pixels.layers > 1) {
    emulate_processed_with<double>(plan, strip, pixels, peaks, images, seed);
  } else {
    emulate_processed_with<float>(plan, strip, pixels, peaks, images, seed);
  }
}

}  // namespace imn::images
