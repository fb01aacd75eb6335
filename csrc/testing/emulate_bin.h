// Runs the binning kernels on emulated thread blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "images/bin_check.h"
#include "images/bin_continuous_kernel.h"
#include "images/bin_processed_kernel.h"
#include "testing/host_block.h"

namespace imn::testing {

template <typename T>
void emulate_continuous(const images::PlanView& plan, images::WindowStrip strip,
                        std::span<const images::ChunkView<images::BinsView<T>>> given, double* carry,
                        const images::ImagesView& images, std::uint64_t seed) {
  using Shape = images::ContinuousShape;
  images::check_chunks(strip, given, carry);
  images::each_launch<Shape>(
      given, images::continuous_window_blocks<Shape>(strip),
      [&](const images::LaunchChunks<images::BinsView<T>>& chunks, std::int32_t blocks, std::int32_t layers) {
        emulate_grid(blocks, 1, Shape::kThreads, images::continuous_shared_bytes<Shape>(layers), seed,
                     [&](HostBlock& block, void* shared) {
                       images::bin_continuous_block<Shape>(block, plan, strip, chunks, carry, images, shared);
                     });
      });
}

template <typename M, typename T>
void emulate_processed(const images::PlanView& plan, images::WindowStrip strip,
                       std::span<const images::ChunkView<images::PeaksView<M, T>>> given,
                       const images::ImagesView& images, std::uint64_t seed) {
  using Shape = images::ProcessedShape;
  images::check_chunks(strip, given);
  const bool several =
      std::any_of(given.begin(), given.end(), [](const auto& chunk) { return chunk.pixels.layers > 1; });
  const std::int32_t groups = images::groups_of_block<Shape>(strip, several);
  images::each_launch<Shape>(
      given, images::blocks_for(images::groups_of(strip), groups),
      [&](const images::LaunchChunks<images::PeaksView<M, T>>& chunks, std::int32_t blocks, std::int32_t) {
        const auto body = [&](HostBlock& block, void* shared) {
          if (several) {
            images::bin_processed_block<Shape, true>(block, plan, strip, groups, chunks, images, shared);
          } else {
            images::bin_processed_block<Shape, false>(block, plan, strip, groups, chunks, images, shared);
          }
        };
        emulate_grid(blocks, 1, Shape::kThreads, images::processed_shared_bytes<Shape, M, T>(several), seed, body);
      });
}

}  // namespace imn::testing
