// The binning kernels on emulated thread blocks.
#pragma once

#include <cstdint>
#include <span>

#include "images/bin_check.h"
#include "images/bin_continuous_kernel.h"
#include "images/bin_processed_kernel.h"

namespace imn::images {

template <typename T>
void emulate_continuous(const PlanView& plan, WindowStrip strip, std::span<const Piece<BinsView<T>>> given,
                        double* carry, const ImagesView& images, std::uint64_t seed) {
  using Shape = ContinuousShape;
  check_pieces(strip, given, carry);
  each_launch<Shape>(given, continuous_window_blocks<Shape>(strip),
                     [&](const Pieces<BinsView<T>>& pieces, std::int32_t blocks, std::int32_t layers) {
                       cuda::emulate_grid(blocks, 1, Shape::kThreads, continuous_shared_bytes<Shape>(layers), seed,
                                          [&](cuda::HostBlock& block, void* shared) {
                                            bin_continuous_block<Shape>(block, plan, strip, pieces, carry, images,
                                                                        shared);
                                          });
                     });
}

template <typename Sum, typename M, typename T>
void emulate_processed_with(const PlanView& plan, WindowStrip strip, const Pieces<PeaksView<M, T>>& pieces,
                            std::int32_t blocks, const ImagesView& images, std::uint64_t seed) {
  using Shape = ProcessedShape;
  cuda::emulate_grid(blocks, 1, Shape::kThreads, processed_shared_bytes<Shape, Sum>(), seed,
                     [&](cuda::HostBlock& block, void* shared) {
                       bin_processed_block<Shape, Sum>(block, plan, strip, pieces, images, shared);
                     });
}

template <typename M, typename T>
void emulate_processed(const PlanView& plan, WindowStrip strip, std::span<const Piece<PeaksView<M, T>>> given,
                       const ImagesView& images, std::uint64_t seed) {
  using Shape = ProcessedShape;
  check_pieces(strip, given);
  each_launch<Shape>(given, processed_window_blocks<Shape>(strip),
                     [&](const Pieces<PeaksView<M, T>>& pieces, std::int32_t blocks, std::int32_t layers) {
                       if (layers > 1) {
                         emulate_processed_with<double>(plan, strip, pieces, blocks, images, seed);
                       } else {
                         emulate_processed_with<float>(plan, strip, pieces, blocks, images, seed);
                       }
                     });
}

}  // namespace imn::images
