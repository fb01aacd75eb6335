// The binning kernels on emulated thread blocks.
#pragma once

#include <algorithm>
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

template <typename M, typename T>
void emulate_processed(const PlanView& plan, WindowStrip strip, std::span<const Piece<PeaksView<M, T>>> given,
                       const ImagesView& images, std::uint64_t seed) {
  using Shape = ProcessedShape;
  check_pieces(strip, given);
  const bool several =
      std::any_of(given.begin(), given.end(), [](const auto& piece) { return piece.pixels.layers > 1; });
  const std::int32_t groups = groups_of_block<Shape>(strip, several);
  each_launch<Shape>(given, blocks_for(groups_of(strip), groups),
                     [&](const Pieces<PeaksView<M, T>>& pieces, std::int32_t blocks, std::int32_t) {
                       const auto body = [&](cuda::HostBlock& block, void* shared) {
                         if (several) {
                           bin_processed_block<Shape, true>(block, plan, strip, groups, pieces, images, shared);
                         } else {
                           bin_processed_block<Shape, false>(block, plan, strip, groups, pieces, images, shared);
                         }
                       };
                       cuda::emulate_grid(blocks, 1, Shape::kThreads, processed_shared_bytes<Shape, M, T>(several),
                                          seed, body);
                     });
}

}  // namespace imn::images
