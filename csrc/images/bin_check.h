// Checks the arguments of the binning kernels before a launch or an emulation.
#pragma once

#include <cstdint>
#include <span>

#include "core/error.h"
#include "images/bin_views.h"

namespace imn::images {

inline void check_strip(WindowStrip strip) {
  if (strip.first < 0 || strip.size() < 0)
    throw ArgumentError("binning: a strip of windows must not end before it begins");
}

inline void check_pixels(const PixelView& pixels) {
  if (pixels.n > pixels.rows || (pixels.n > 0) != (pixels.layers > 0)) {
    throw ArgumentError("binning: every pixel of a chunk must have a spectrum");
  }
}

inline void check_aligned(const void* address) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) {
    throw ArgumentError("binning: bins and peaks must be aligned to 16 bytes");
  }
}

template <typename M, typename T>
void check_chunks(WindowStrip strip, std::span<const ChunkView<PeaksView<M, T>>> chunks) {
  check_strip(strip);
  for (const auto& [pixels, peaks] : chunks) {
    check_pixels(pixels);
    check_aligned(peaks.mz);
    check_aligned(peaks.intensity);
  }
}

template <typename T>
void check_chunks(WindowStrip strip, std::span<const ChunkView<BinsView<T>>> chunks, const double* carry) {
  check_strip(strip);
  if (carry != nullptr && chunks.size() > 1)
    throw ArgumentError("binning: sums can be carried across the parts of one chunk only");
  for (const auto& [pixels, bins] : chunks) {
    check_pixels(pixels);
    const std::int64_t size = std::int64_t{bins.last} - bins.first;
    if (bins.first < 0 || bins.first % kBinTile != 0 || size < 0 || bins.stride < size) {
      throw ArgumentError("binning: bins must begin at a multiple of the tile and fit their stride");
    }
    check_aligned(bins.values);
    if (bins.stride * static_cast<std::int64_t>(sizeof(T)) % 16 != 0) {
      throw ArgumentError("binning: rows of bins must be aligned to 16 bytes");
    }
  }
}

}  // namespace imn::images
