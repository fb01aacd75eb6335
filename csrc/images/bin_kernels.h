// Bodies of the binning kernels; Note [Kernels without a device] in core/cuda/block.h says how they are written.
//
// A thread block makes up to kWindowGroup images of kLanes pixels: block.x() says which pixels, block.y() which
// windows. Neighbouring threads take neighbouring pixels, so that every image is written in runs of kLanes values, and
// each sum belongs to one thread, which adds from low to high m/z in float64 and rounds once: the bits of bin_images.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "images/bin_views.h"

namespace imn::images {

inline constexpr std::int32_t kLanes = 32;
inline constexpr std::int32_t kBinThreads = 256;
inline constexpr std::int32_t kTileSums = kWindowGroup * kLanes;
// Bins of a row that are in shared memory at a time, one kilobyte: the windows of a group rarely need more, so that
// most blocks load once, with all their loads under way together.
template <typename T>
inline constexpr std::int32_t kTileBins = 1024 / static_cast<std::int32_t>(sizeof(T));
// Where a tile may begin: what is read before the first window is a part of 128 bytes.
template <typename T>
inline constexpr std::int32_t kTileStart = 128 / static_cast<std::int32_t>(sizeof(T));
static_assert(kBinTile % kTileStart<float> == 0 && kBinTile % kTileStart<double> == 0);
// Rows of the tile are one value longer than what they hold: a warp that reads one bin of 32 rows, or writes 8 packs of
// 4 rows, then meets every bank once.
template <typename T>
inline constexpr std::int32_t kTileRow = kTileBins<T> + 1;

// Blocks in x and y.
inline std::int32_t pixel_blocks(const PixelView& pixels) { return (pixels.n + kLanes - 1) / kLanes; }
inline std::int32_t window_blocks(WindowStrip strip) { return (strip.size() + kWindowGroup - 1) / kWindowGroup; }
// Processed: groups are those of the plan, where `reach` starts afresh.
inline std::int32_t group_blocks(WindowStrip strip) {
  return strip.size() == 0 ? 0 : (strip.last - 1) / kWindowGroup - strip.first / kWindowGroup + 1;
}

template <typename T>
std::size_t continuous_shared_bytes(std::int32_t layers) {
  const std::size_t sums = static_cast<std::size_t>(kTileSums) * sizeof(double) * (layers > 1 ? 2 : 1);
  const std::size_t tile = static_cast<std::size_t>(kLanes) * kTileRow<T> * sizeof(T);
  return sums + tile + (static_cast<std::size_t>(kLanes) + cuda::kScratch) * sizeof(std::int32_t);
}

inline std::size_t processed_shared_bytes() {
  return static_cast<std::size_t>(kTileSums) * sizeof(double) + 2 * kLanes * sizeof(std::int64_t);
}

// The row that holds spectrum number `layer` of a pixel; -1: it has no such spectrum.
IMN_HOST_DEVICE inline std::int32_t row_of(const PixelView& pixels, std::int32_t pixel, std::int32_t layer) {
  if (pixel >= pixels.n) return -1;
  const std::int32_t row = pixels.row_first[pixel] + layer;
  return row < pixels.row_first[pixel + 1] ? row : -1;
}

// The bins [from, from + kTileBins) of every row, without those from `to` on; 0 where there are none. A thread loads
// all its packs before it stores the first one, so that several loads are under way; a warp takes 8 packs of 4 rows.
template <typename T, typename Block>
IMN_DEVICE_CODE void load_bins(Block& block, const BinsView<T>& bins, const std::int32_t* rows, std::int32_t from,
                               std::int32_t to, T* tile) {
  constexpr std::int32_t kPack = cuda::Pack<T>::kSize;
  constexpr std::int32_t kEights = kTileBins<T> / kPack / 8;  // of packs in a row of the tile
  constexpr std::int32_t kRows = kBinThreads / 8 / kEights;
  constexpr std::int32_t kEach = kLanes / kRows;
  static_assert(kEights * 8 * kPack == kTileBins<T> && kEach * kRows == kLanes);
  block.for_each(kBinThreads, [&](std::int32_t i) {
    const std::int32_t bin = (i / 32 % kEights * 8 + i % 8) * kPack;
    const std::int32_t first = i / (32 * kEights) * 4 + i / 8 % 4;
    const std::int64_t place = from - bins.first + bin;
    cuda::Pack<T> packs[kEach] = {};
    for (std::int32_t j = 0; j < kEach; ++j) {
      const std::int32_t row = rows[first + j * kRows];
      // A pack that begins below `to` ends within its row; beyond it the memory may be another's.
      if (row >= 0 && from + bin < to) packs[j] = cuda::load_pack(bins.values + row * bins.stride + place);
    }
    for (std::int32_t j = 0; j < kEach; ++j) {
      T* const cells = tile + (first + j * kRows) * kTileRow<T> + bin;
      for (std::int32_t k = 0; k < kPack; ++k) cells[k] = packs[j].values[k];
    }
  });
}

template <typename T, typename Block>
IMN_DEVICE_CODE void bin_continuous_block(Block& block, const PlanView& plan, WindowStrip strip,
                                          const PixelView& pixels, const BinsView<T>& bins, double* carry,
                                          const ImagesView& images, void* shared) {
  const std::int32_t w0 = strip.first + block.y() * kWindowGroup;
  const std::int32_t count = cuda::lesser(kWindowGroup, strip.last - w0);
  const std::int32_t p0 = block.x() * kLanes;
  auto* const sums = static_cast<double*>(shared);  // [window][pixel] of the spectrum that is being added
  auto* const totals = sums + kTileSums;            // of the spectra before it; only where pixels have several
  auto* const tile = reinterpret_cast<T*>(pixels.layers > 1 ? totals + kTileSums : totals);  // [pixel][bin]
  auto* const rows = reinterpret_cast<std::int32_t*>(tile + kLanes * kTileRow<T>);
  auto* const scratch = rows + kLanes;

  const std::int32_t reach = block.reduce(
      count, 0, [&](std::int32_t g) { return plan.last[w0 + g]; },
      [](std::int32_t a, std::int32_t b) { return cuda::greater(a, b); }, scratch);
  const std::int32_t from = cuda::greater(plan.first[w0], bins.first) / kTileStart<T> * kTileStart<T>;
  const std::int32_t to = cuda::lesser(reach, bins.last);

  for (std::int32_t layer = 0; layer < pixels.layers; ++layer) {
    block.for_each(kLanes, [&](std::int32_t p) { rows[p] = row_of(pixels, p0 + p, layer); });

    block.for_each(count * kLanes, [&](std::int32_t i) {
      const std::int32_t w = w0 + i / kLanes;
      const std::int32_t row = rows[i % kLanes];
      const bool begun = plan.first[w] < bins.first && bins.first < plan.last[w];
      sums[i] = begun && row >= 0 ? carry[std::int64_t{w - strip.first} * pixels.rows + row] : 0.0;
    });

    for (std::int32_t t = from; t < to; t += kTileBins<T>) {
      load_bins(block, bins, rows, t, to, tile);
      block.for_each(count * kLanes, [&](std::int32_t i) {
        const std::int32_t w = w0 + i / kLanes;
        const std::int32_t first = cuda::greater(plan.first[w], t);
        const std::int32_t last = cuda::lesser(plan.last[w], cuda::lesser(t + kTileBins<T>, to));
        if (first >= last || rows[i % kLanes] < 0) return;
        const T* const values = tile + i % kLanes * kTileRow<T> - t;
        double sum = sums[i];
        for (std::int32_t bin = first; bin < last; ++bin) sum += static_cast<double>(values[bin]);
        sums[i] = sum;
      });
    }

    block.for_each(count * kLanes, [&](std::int32_t i) {
      const std::int32_t w = w0 + i / kLanes;
      const std::int32_t p = p0 + i % kLanes;
      const std::int32_t row = rows[i % kLanes];
      const std::int32_t first = plan.first[w];
      const std::int32_t last = plan.last[w];
      const bool was_written = first < last && last <= bins.first;
      if (row < 0 || was_written) return;
      if (last > bins.last && first < last) {  // ends in a later piece
        if (first < bins.last) carry[std::int64_t{w - strip.first} * pixels.rows + row] = sums[i];
        return;
      }
      const double total = layer == 0 ? sums[i] : totals[i] + sums[i];
      if (row + 1 < pixels.row_first[p + 1]) {
        totals[i] = total;
      } else {
        images.data[(w - strip.first) * images.stride + pixels.index[p]] = static_cast<float>(total);
      }
    });
  }
}

// First of the ascending values [begin, end) that is not below `bound`, or, with kAbove, that is above it. A round
// reads seven values at once: a third of the rounds that one at a time would take, and rounds are what a device waits
// for.
template <bool kAbove, typename M>
IMN_DEVICE_CODE std::int64_t bisect_mz(const M* mz, std::int64_t begin, std::int64_t end, double bound) {
  constexpr int kProbes = 7;
  const auto below = [&](std::int64_t at) {
    const auto value = static_cast<double>(mz[at]);
    return kAbove ? value <= bound : value < bound;
  };
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

template <typename M, typename T, typename Block>
IMN_DEVICE_CODE void bin_processed_block(Block& block, const PlanView& plan, WindowStrip strip, const PixelView& pixels,
                                         const PeaksView<M, T>& peaks, const ImagesView& images, void* shared) {
  const std::int32_t group = (strip.first / kWindowGroup + block.y()) * kWindowGroup;
  const std::int32_t w0 = cuda::greater(group, strip.first);
  const std::int32_t w1 = cuda::lesser(group + kWindowGroup, strip.last);
  const std::int32_t p0 = block.x() * kLanes;
  auto* const totals = static_cast<double*>(shared);  // [window][pixel]
  auto* const begin = reinterpret_cast<std::int64_t*>(totals + kTileSums);
  auto* const end = begin + kLanes;

  block.for_each((w1 - w0) * kLanes, [&](std::int32_t i) { totals[i] = 0.0; });

  for (std::int32_t layer = 0; layer < pixels.layers; ++layer) {
    // The group's share of each spectrum.
    block.for_each(2 * kLanes, [&](std::int32_t i) {
      const std::int32_t p = i % kLanes;
      const std::int32_t row = row_of(pixels, p0 + p, layer);
      const std::int64_t first = row < 0 ? 0 : peaks.row_start[row];
      const std::int64_t last = row < 0 ? 0 : peaks.row_start[row + 1];
      if (i < kLanes) {
        begin[p] = bisect_mz<false>(peaks.mz, first, last, plan.lo[w0]);
      } else {
        end[p] = bisect_mz<true>(peaks.mz, first, last, plan.reach[w1 - 1]);
      }
    });

    // 32 neighbouring threads share a spectrum. A peak looks for the windows whose first peak it is, and adds up those:
    // so one thread alone writes to a window of a pixel, whatever overlaps.
    block.for_each(kLanes * 32, [&](std::int32_t i) {
      const std::int32_t p = i / 32;
      for (std::int64_t k = begin[p] + i % 32; k < end[p]; k += 32) {
        const double mz = static_cast<double>(peaks.mz[k]);
        const bool foremost = k == begin[p];
        const double before = foremost ? 0.0 : static_cast<double>(peaks.mz[k - 1]);
        std::int32_t w = cuda::lesser(plan.lut[plan.cells.of(cuda::bits_of(mz))], w1) - 1;
        for (; w >= w0 && plan.reach[w] >= mz; --w) {
          const double lo = plan.lo[w];
          const double hi = plan.hi[w];
          if (lo > mz || hi < mz || !(foremost || before < lo)) continue;
          double sum = 0.0;
          for (std::int64_t j = k; j < end[p] && static_cast<double>(peaks.mz[j]) <= hi; ++j) {
            sum += static_cast<double>(peaks.intensity[j]);
          }
          totals[(w - w0) * kLanes + p] += sum;
        }
      }
    });
  }

  block.for_each((w1 - w0) * kLanes, [&](std::int32_t i) {
    const std::int32_t p = p0 + i % kLanes;
    if (p >= pixels.n) return;
    images.data[(w0 + i / kLanes - strip.first) * images.stride + pixels.index[p]] = static_cast<float>(totals[i]);
  });
}

}  // namespace imn::images
