// Bodies of the binning kernels; Note [Kernels without a device] in core/cuda/block.h says how they are written.
//
// A thread block makes some images of some pixels: block.x() says which pixels, block.y() which windows. Neighbouring
// threads take neighbouring pixels where images are written, so that those are written in runs of whole sectors, and
// each sum belongs to one thread, which adds from low to high m/z in float64 and rounds once: the bits of bin_images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "images/bin_views.h"

namespace imn::images {

// How a kernel is cut: threads of a block, blocks that a multiprocessor shall hold at once, pixels and windows of a
// block. The bodies take any; those in use are named below.
//
// RowPacks: packs of 16 bytes that are held of a spectrum at a time.
template <std::int32_t Threads, std::int32_t Blocks, std::int32_t Pixels, std::int32_t Windows, std::int32_t RowPacks>
struct ContinuousCut {
  static constexpr std::int32_t kThreads = Threads;
  static constexpr std::int32_t kBlocks = Blocks;
  static constexpr std::int32_t kPixels = Pixels;
  static constexpr std::int32_t kWindows = Windows;
  static constexpr std::int32_t kRowPacks = RowPacks;
  // One longer, so that threads that read the same pack of 8 rows meet every bank once.
  static constexpr std::int32_t kPitch = RowPacks + 1;
  static constexpr std::int32_t kSums = Windows * Pixels;
  static_assert(RowPacks % 2 == 0 && Threads % Pixels == 0);
};

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

using ContinuousShape = ContinuousCut<256, 4, 32, 64, 64>;
using ProcessedShape = ProcessedCut<256, 6, 32, 128, 16>;

constexpr std::int32_t blocks_for(std::int32_t n, std::int32_t each) { return n / each + (n % each != 0 ? 1 : 0); }

// Blocks in x and y.
template <typename Shape>
std::int32_t pixel_blocks(const PixelView& pixels) {
  return blocks_for(pixels.n, Shape::kPixels);
}
template <typename Shape>
std::int32_t continuous_window_blocks(WindowStrip strip) {
  return blocks_for(strip.size(), Shape::kWindows);
}
// Blocks begin at multiples of kWindows of the plan.
template <typename Shape>
std::int32_t processed_window_blocks(WindowStrip strip) {
  return strip.size() == 0 ? 0 : (strip.last - 1) / Shape::kWindows - strip.first / Shape::kWindows + 1;
}

template <typename Shape>
std::size_t continuous_shared_bytes(std::int32_t layers) {
  const std::size_t sums = std::size_t{Shape::kSums} * sizeof(double) * (layers > 1 ? 2 : 1);
  const std::size_t tile = std::size_t{Shape::kPixels} * Shape::kPitch * 16;
  return sums + tile + (2 * Shape::kWindows + Shape::kPixels + std::size_t{cuda::kScratch}) * sizeof(std::int32_t);
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

// The row that holds spectrum number `layer` of a pixel; -1: it has no such spectrum.
IMN_HOST_DEVICE inline std::int32_t row_of(const PixelView& pixels, std::int32_t pixel, std::int32_t layer) {
  if (pixel >= pixels.n) return -1;
  const std::int32_t row = pixels.row_first[pixel] + layer;
  return row < pixels.row_first[pixel + 1] ? row : -1;
}

// sum + the values [a, b) of a row of packs, from low to high.
template <typename T>
IMN_DEVICE_CODE double add_bins(double sum, const cuda::Pack<T>* row, std::int32_t a, std::int32_t b) {
  constexpr std::int32_t kPack = cuda::Pack<T>::kSize;
  for (std::int32_t q = a / kPack; q * kPack < b; ++q) {
    const cuda::Pack<T> pack = row[q];
    const bool whole = q * kPack >= a && q * kPack + kPack <= b;
    for (std::int32_t k = 0; k < kPack; ++k) {
      if (whole || (q * kPack + k >= a && q * kPack + k < b)) sum += static_cast<double>(pack.values[k]);
    }
  }
  return sum;
}

template <typename Shape, typename T, typename Block>
IMN_DEVICE_CODE void bin_continuous_block(Block& block, const PlanView& plan, WindowStrip strip,
                                          const PixelView& pixels, const BinsView<T>& bins, double* carry,
                                          const ImagesView& images, void* shared) {
  using Pack = cuda::Pack<T>;
  constexpr std::int32_t kBins = Shape::kRowPacks * Pack::kSize;
  const std::int32_t w0 = strip.first + block.y() * Shape::kWindows;
  const std::int32_t count = cuda::lesser(Shape::kWindows, strip.last - w0);
  const std::int32_t p0 = block.x() * Shape::kPixels;
  auto* const tile = static_cast<Pack*>(shared);                                        // [pixel][pack]
  auto* const sums = reinterpret_cast<double*>(tile + Shape::kPixels * Shape::kPitch);  // [window][pixel], unfinished
  auto* const totals = sums + Shape::kSums;  // of the spectra before; only where pixels have several
  auto* const firsts = reinterpret_cast<std::int32_t*>(pixels.layers > 1 ? totals + Shape::kSums : totals);
  auto* const lasts = firsts + Shape::kWindows;
  auto* const rows = lasts + Shape::kWindows;
  auto* const scratch = rows + Shape::kPixels;

  const std::int32_t reach = block.reduce(
      cuda::greater(Shape::kPixels, count), 0,
      [&](std::int32_t i) {
        if (i < Shape::kPixels) rows[i] = row_of(pixels, p0 + i, 0);
        if (i >= count) return 0;
        firsts[i] = plan.first[w0 + i];
        return lasts[i] = plan.last[w0 + i];
      },
      [](std::int32_t a, std::int32_t b) { return cuda::greater(a, b); }, scratch);
  const std::int32_t to = cuda::lesser(reach, bins.last);
  const std::int32_t from = bins.first + cuda::greater(firsts[0] - bins.first, 0) / Pack::kSize * Pack::kSize;

  for (std::int32_t layer = 0; layer < pixels.layers; ++layer) {
    if (layer > 0) block.for_each(Shape::kPixels, [&](std::int32_t p) { rows[p] = row_of(pixels, p0 + p, layer); });

    // At least once, for windows without bins.
    std::int32_t t = from;
    do {
      block.for_each_unsynced(Shape::kPixels * Shape::kRowPacks, [&](std::int32_t i) {
        const std::int32_t pack = i % Shape::kRowPacks;
        const std::int32_t row = rows[i / Shape::kRowPacks];
        // A pack that begins below `to` ends within its row; beyond it the memory may be another's.
        if (row < 0 || t + pack * Pack::kSize >= to) return;
        block.fetch(tile + i / Shape::kRowPacks * Shape::kPitch + pack,
                    bins.values + row * bins.stride + (t - bins.first + pack * Pack::kSize));
      });
      block.await_fetched();

      block.for_each(Shape::kThreads, [&](std::int32_t i) {
        const std::int32_t p = i % Shape::kPixels;
        const std::int32_t row = rows[p];
        if (row < 0) return;
        const Pack* const own = tile + p * Shape::kPitch;
        const bool last_row = row + 1 == pixels.row_first[p0 + p + 1];
        float* const image = images.data + (w0 - strip.first) * images.stride + pixels.index[p0 + p];
        for (std::int32_t g = i / Shape::kPixels; g < count; g += Shape::kThreads / Shape::kPixels) {
          const std::int32_t first = firsts[g];
          const std::int32_t last = lasts[g];
          if (first < last) {
            const std::int32_t end = cuda::lesser(t + kBins, to);
            const bool was_written = last <= t;
            if (was_written || first >= end) continue;
            double sum = 0.0;
            if (first < t && t > from) {
              sum = sums[g * Shape::kPixels + p];
            } else if (first < bins.first) {
              sum = carry[std::int64_t{w0 - strip.first + g} * pixels.rows + row];
            }
            sum = add_bins(sum, own, cuda::greater(first, t) - t, cuda::lesser(last, end) - t);
            if (last > end) {  // ends in a later tile, or a later piece
              if (end < to) {
                sums[g * Shape::kPixels + p] = sum;
              } else {
                carry[std::int64_t{w0 - strip.first + g} * pixels.rows + row] = sum;
              }
              continue;
            }
            const double total = layer == 0 ? sum : totals[g * Shape::kPixels + p] + sum;
            if (last_row) {
              image[g * images.stride] = static_cast<float>(total);
            } else {
              totals[g * Shape::kPixels + p] = total;
            }
          } else if (t == from) {
            if (last_row) {
              image[g * images.stride] = 0.0f;
            } else {
              totals[g * Shape::kPixels + p] = 0.0;
            }
          }
        }
      });
      t += kBins;
    } while (t < to);
  }
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
IMN_DEVICE_CODE void bin_processed_block(Block& block, const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                                         const PeaksView<M, T>& peaks, const ImagesView& images, void* shared) {
  const std::int32_t first = (strip.first / Shape::kWindows + block.y()) * Shape::kWindows;
  const std::int32_t w0 = cuda::greater(first, strip.first);
  const std::int32_t w1 = cuda::lesser(first + Shape::kWindows, strip.last);
  const std::int32_t p0 = block.x() * Shape::kPixels;
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
