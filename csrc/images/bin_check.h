// Checks of what the binning kernels are given, before a launch or an emulation.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "images/bin_views.h"

namespace imn::images {

inline void check_strip(WindowStrip strip, const PixelView& pixels) {
  // Blocks of windows lie along the grid's y, which ends at 65535.
  constexpr std::int32_t kMostWindows = 65534 * kWindowGroup;
  if (strip.first < 0 || strip.size() < 0)
    throw ArgumentError("binning: a strip of windows must not end before it begins");
  if (strip.size() > kMostWindows) throw ArgumentError("binning: a strip takes at most 4194176 windows");
  if (pixels.n > pixels.rows || (pixels.n > 0) != (pixels.layers > 0)) {
    throw ArgumentError("binning: every pixel of a block must have a spectrum");
  }
}

template <typename T>
void check_bins(WindowStrip strip, const PixelView& pixels, const BinsView<T>& bins) {
  check_strip(strip, pixels);
  const std::int64_t size = std::int64_t{bins.last} - bins.first;
  if (bins.first < 0 || bins.first % kBinTile != 0 || size < 0 || bins.stride < size) {
    throw ArgumentError("binning: bins must begin at a multiple of the tile and fit their stride");
  }
  if (reinterpret_cast<std::uintptr_t>(bins.values) % 16 != 0 ||
      bins.stride * static_cast<std::int64_t>(sizeof(T)) % 16 != 0) {
    throw ArgumentError("binning: rows of bins must be aligned to 16 bytes");
  }
}

}  // namespace imn::images
