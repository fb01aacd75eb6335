// Body of the kernel that bins processed files; Note [Kernels without a device] in core/cuda/block.h says how it is
// written. Neighbouring threads take neighbouring pixels where images are written, so that those are written in runs of
// whole sectors, and each sum belongs to one thread, which adds from low to high m/z in float64 and rounds once: the
// bits of bin_images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "images/bin_pieces.h"

namespace imn::images {

// How the kernel is cut: threads of a block, blocks that a multiprocessor shall hold at once, pixels and windows of a
// block. The body takes any.
//
// Sharers: neighbouring threads that go through a spectrum together. Windows: whole groups, where `reach` starts
// afresh.
template <std::int32_t Threads, std::int32_t Blocks, std::int32_t Pixels, std::int32_t Windows, std::int32_t Sharers>
struct ProcessedCut {
  static constexpr std::int32_t kThreads = Threads;
  static constexpr std::int32_t kBlocks = Blocks;
  static constexpr std::int32_t kPixels = Pixels;
  static constexpr std::int32_t kWindows = Windows;
  static constexpr std::int32_t kSharers = Sharers;
  static constexpr std::int32_t kPitch = Pixels + 1;  // of sums: threads that share a spectrum write to many windows
  static_assert(Windows % kWindowGroup == 0 && Threads % Pixels == 0);
};

using ProcessedShape = ProcessedCut<256, 6, 32, 128, 16>;

// Blocks begin at multiples of kWindows of the plan.
template <typename Shape>
IMN_HOST_DEVICE std::int32_t processed_window_blocks(WindowStrip strip) {
  return strip.size() == 0 ? 0 : (strip.last - 1) / Shape::kWindows - strip.first / Shape::kWindows + 1;
}

// A window as a block holds it; `below`: how far the block's windows before it reach, perhaps more.
struct BlockWindow {
  double lo;
  double hi;
  double below;
};

// Sum: what is held of a window and a pixel. double; float will do where pixels have one spectrum each.
template <typename Shape, typename Sum>
std::size_t processed_shared_bytes() {
  return (Shape::kWindows + std::size_t{1}) * sizeof(BlockWindow) + Shape::kPixels * sizeof(std::int64_t) +
         std::size_t{Shape::kWindows} * Shape::kPitch * sizeof(Sum);
}

// First of the ascending values [begin, end) that is not below `bound`. A round reads seven values at once: a third of
// the rounds that one at a time would take, and rounds are what a device waits for.
template <typename M>
IMN_DEVICE_CODE std::int64_t bisect_mz(const M* mz, std::int64_t begin, std::int64_t end, double bound) {
  constexpr int kProbes = 7;
  const auto below = [&](std::int64_t at) { return static_cast<double>(mz[at]) < bound; };
  while (end - begin > kProbes) {
    const std::int64_t step = (end - begin) / (kProbes + 1);
    int passed = 0;
    for (int k = 1; k <= kProbes; ++k) passed += below(begin + k * step) ? 1 : 0;
    if (passed < kProbes) end = begin + (passed + 1) * step;
    if (passed > 0) begin += passed * step + 1;
  }
  int passed = 0;
  for (int k = 0; k < kProbes; ++k) passed += begin + k < end && below(begin + k) ? 1 : 0;
  return begin + passed;
}

inline constexpr double kBelowAll = -std::numeric_limits<double>::infinity();

template <typename Shape, typename Sum, typename M, typename T, typename Block>
IMN_DEVICE_CODE void bin_processed_block(Block& block, const PlanView& plan, WindowStrip strip,
                                         const Pieces<PeaksView<M, T>>& pieces, const ImagesView& images,
                                         void* shared) {
  const BlockPlace place = place_of<Shape>(pieces, block.x(), processed_window_blocks<Shape>(strip));
  const PixelView& pixels = pieces.pixels[place.piece];
  const PeaksView<M, T>& peaks = pieces.data[place.piece];
  const std::int32_t first = (strip.first / Shape::kWindows + place.windows) * Shape::kWindows;
  const std::int32_t w0 = cuda::greater(first, strip.first);
  const std::int32_t w1 = cuda::lesser(first + Shape::kWindows, strip.last);
  const std::int32_t p0 = place.pixel;
  auto* const windows = static_cast<BlockWindow*>(shared);  // windows[0] is before all, windows[1 + w - w0] is w
  auto* const begin = reinterpret_cast<std::int64_t*>(windows + Shape::kWindows + 1);
  auto* const sums = reinterpret_cast<Sum*>(begin + Shape::kPixels);  // [window][pixel]

  double reach = kBelowAll;
  for (std::int32_t w = w1; w > w0; w = (w - 1) / kWindowGroup * kWindowGroup) {
    reach = cuda::greater(reach, plan.reach[w - 1]);
  }
  block.for_each_unsynced(w1 - w0 + 1, [&](std::int32_t i) {
    BlockWindow window{kBelowAll, kBelowAll, kBelowAll};
    if (i > 0) {
      window.lo = plan.lo[w0 + i - 1];
      window.hi = plan.hi[w0 + i - 1];
      for (std::int32_t w = w0 + i - 1; w > w0; w = (w - 1) / kWindowGroup * kWindowGroup) {
        window.below = cuda::greater(window.below, plan.reach[w - 1]);
      }
    }
    windows[i] = window;
  });
  block.for_each_unsynced((w1 - w0) * Shape::kPitch, [&](std::int32_t i) { sums[i] = Sum{0}; });

  for (std::int32_t layer = 0; layer < pixels.layers; ++layer) {
    block.for_each(Shape::kPixels, [&](std::int32_t p) {
      const std::int32_t row = row_of(pixels, p0 + p, layer);
      begin[p] = row < 0 ? 0 : bisect_mz(peaks.mz, peaks.row_start[row], peaks.row_start[row + 1], plan.lo[w0]);
    });

    // A peak looks for the windows whose first peak it is, and adds up those: so one thread alone writes to a window of
    // a pixel, whatever overlaps.
    block.for_each(Shape::kPixels * Shape::kSharers, [&](std::int32_t i) {
      const std::int32_t p = i / Shape::kSharers;
      const std::int32_t row = row_of(pixels, p0 + p, layer);
      if (row < 0) return;
      const M* const mz = peaks.mz + begin[p];
      const T* const intensity = peaks.intensity + begin[p];
      const auto n = static_cast<std::int32_t>(peaks.row_start[row + 1] - begin[p]);
      std::int32_t k = i % Shape::kSharers;
      // Of the peak that comes next: its loads are under way while this one looks for its windows.
      M next_mz{};
      T next_intensity{};
      if (k < n) {
        next_mz = mz[k];
        next_intensity = intensity[k];
      }
      while (k < n) {
        const auto own_mz = static_cast<double>(next_mz);
        const auto own_intensity = static_cast<double>(next_intensity);
        if (!(own_mz <= reach)) break;
        const std::int32_t next = k + Shape::kSharers;
        if (next < n) {
          next_mz = mz[next];
          next_intensity = intensity[next];
        }
        const double before = k > 0 ? static_cast<double>(mz[k - 1]) : kBelowAll;
        std::int32_t w = cuda::lesser(plan.lut[plan.cells.of(cuda::bits_of(own_mz))], w1) - w0;
        do {
          const BlockWindow window = windows[w];
          if (window.lo > own_mz) continue;
          if (own_mz <= window.hi && before < window.lo) {
            double sum = 0.0;
            sum += own_intensity;
            for (std::int32_t j = k + 1; j < n && static_cast<double>(mz[j]) <= window.hi; ++j) {
              sum += static_cast<double>(intensity[j]);
            }
            Sum& total = sums[(w - 1) * Shape::kPitch + p];
            if constexpr (sizeof(Sum) < sizeof(double)) {
              total = static_cast<Sum>(sum);
            } else {
              total += sum;
            }
          }
          if (window.below < own_mz) break;
        } while (--w >= 0);
        k = next;
      }
    });
  }

  block.for_each(Shape::kThreads, [&](std::int32_t i) {
    const std::int32_t p = i % Shape::kPixels;
    if (p0 + p >= pixels.n) return;
    float* const image = images.data + (w0 - strip.first) * images.stride + pixels.index[p0 + p];
    for (std::int32_t g = i / Shape::kPixels; g < w1 - w0; g += Shape::kThreads / Shape::kPixels) {
      image[g * images.stride] = static_cast<float>(sums[g * Shape::kPitch + p]);
    }
  });
}

}  // namespace imn::images
