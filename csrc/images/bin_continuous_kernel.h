// Body of the kernel that bins continuous files, written as Note [Kernels without a device] in core/cuda/block.h
// describes. Neighbouring threads write neighbouring pixels of an image, so that whole sectors are written. Each sum
// belongs to one thread, which adds from low to high m/z in float64 and rounds once, so that the result has the bits of
// bin_images.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "images/bin_launch.h"

namespace imn::images {

// Windows: per thread block. RowPacks: 16-byte packs of a spectrum that are held at a time.
template <std::int32_t Threads, std::int32_t Blocks, std::int32_t Pixels, std::int32_t Windows, std::int32_t RowPacks>
struct ContinuousCut : Cut<Threads, Blocks, Pixels> {
  static constexpr std::int32_t kWindows = Windows;
  static constexpr std::int32_t kRowPacks = RowPacks;
  // One pack longer, so that threads reading the same pack of 8 rows use each bank once.
  static constexpr std::int32_t kPitch = RowPacks + 1;
  static constexpr std::int32_t kSums = Windows * Pixels;
  static_assert(RowPacks % 2 == 0 && Threads % RowPacks == 0);
};

// The fastest of eight shapes tried on an H200.
using ContinuousShape = ContinuousCut<128, 8, 32, 32, 32>;

template <typename Shape>
IMN_HOST_DEVICE std::int32_t continuous_window_blocks(WindowStrip strip) {
  return blocks_for(strip.size(), Shape::kWindows);
}

template <typename Shape>
std::size_t continuous_shared_bytes(std::int32_t layers) {
  const std::size_t sums = std::size_t{Shape::kSums} * sizeof(double) * (layers > 1 ? 2 : 1);
  const std::size_t tile = std::size_t{Shape::kPixels} * Shape::kPitch * 16;
  return sums + tile + (2 * Shape::kWindows + Shape::kPixels + std::size_t{cuda::kScratch}) * sizeof(std::int32_t);
}

// Adds the values [a, b) of a row of packs to `sum`, from low to high.
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
                                          const LaunchChunks<BinsView<T>>& chunks, double* carry,
                                          const ImagesView& images, void* shared) {
  using Pack = cuda::Pack<T>;
  constexpr std::int32_t kBins = Shape::kRowPacks * Pack::kSize;
  const BlockPlace place = place_of<Shape>(chunks, block.x(), continuous_window_blocks<Shape>(strip));
  const PixelView& pixels = chunks.pixels[place.chunk];
  const BinsView<T>& bins = chunks.data[place.chunk];
  const std::int32_t w0 = strip.first + place.windows * Shape::kWindows;
  const std::int32_t count = cuda::lesser(Shape::kWindows, strip.last - w0);
  const std::int32_t p0 = place.pixel;
  auto* const tile = static_cast<Pack*>(shared);                                        // [pixel][pack]
  auto* const sums = reinterpret_cast<double*>(tile + Shape::kPixels * Shape::kPitch);  // [window][pixel], unfinished
  auto* const totals = sums + Shape::kSums;  // sums of earlier spectra; used only if pixels have several
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

    // Runs at least once, for windows without bins.
    std::int32_t t = from;
    do {
      // Neighbouring threads fetch neighbouring packs, each from several rows, so index calculations shared by the rows
      // are done once.
      block.for_each_unsynced(Shape::kThreads, [&](std::int32_t i) {
        const std::int32_t pack = i % Shape::kRowPacks;
        // A pack that begins below `to` ends within its row; memory beyond that may belong to something else.
        if (t + pack * Pack::kSize >= to) return;
        const T* const values = bins.values + (t - bins.first + pack * Pack::kSize);
        for (std::int32_t p = i / Shape::kRowPacks; p < Shape::kPixels; p += Shape::kThreads / Shape::kRowPacks) {
          if (rows[p] >= 0) block.fetch(tile + p * Shape::kPitch + pack, values + rows[p] * bins.stride);
        }
      });
      block.await_fetched();

      block.for_each(Shape::kThreads, [&](std::int32_t i) {
        const std::int32_t p = i % Shape::kPixels;
        const std::int32_t row = rows[p];
        if (row < 0) return;
        const Pack* const own = tile + p * Shape::kPitch;
        const bool last_row = row + 1 == pixels.row_first[p0 + p + 1];
        const double factor = factor_at(images, pixels.index[p0 + p]);
        float* image = images.data + (w0 - strip.first + i / Shape::kPixels) * images.stride + pixels.index[p0 + p];
        for (std::int32_t g = i / Shape::kPixels; g < count;
             g += Shape::kThreads / Shape::kPixels, image += Shape::kThreads / Shape::kPixels * images.stride) {
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
            if (last > end) {  // ends in a later tile, or in the next chunk
              if (end < to) {
                sums[g * Shape::kPixels + p] = sum;
              } else {
                carry[std::int64_t{w0 - strip.first + g} * pixels.rows + row] = sum;
              }
              continue;
            }
            const double total = layer == 0 ? sum : totals[g * Shape::kPixels + p] + sum;
            if (last_row) {
              *image = static_cast<float>(factor * total);
            } else {
              totals[g * Shape::kPixels + p] = total;
            }
          } else if (t == from) {
            if (last_row) {
              *image = 0.0f;
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

}  // namespace imn::images
