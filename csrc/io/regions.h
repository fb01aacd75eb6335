// Regions: sections that lie side by side on one slide, found as connected pixels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace imn::io {

// A box of pixels, and how many of them belong to the region.
struct Region {
  std::int32_t number = 0;  // from 1, the largest first
  std::int64_t n_pixels = 0;
  std::int32_t x0 = 0, y0 = 0;  // the upper left pixel, counted from 0
  std::int32_t width = 0, height = 0;
};

struct Regions {
  std::vector<Region> regions;
  std::vector<std::int32_t> of_spectrum;  // number of the region of each spectrum; 0: of none
  std::int64_t left_out = 0;              // pixels in no region
};

// Pixels belong together if their x and their y differ by at most this: gaps of up to two missing lines are closed.
constexpr std::int32_t kRegionReach = 3;
// Connected pixels are a region if they are at least this many and a thousandth of the largest region. The largest is
// always one.
constexpr std::int64_t kSmallestRegion = 16;
constexpr std::int64_t kSmallestShare = 1000;

// `coordinates` (n, 3): x, y, z; spectra with different z are never connected. Takes time and memory by the spectra,
// not by the grid that they span. The order of equally large regions is that of their upper left corners, row by row.
Regions find_regions(std::span<const std::int32_t> coordinates);

}  // namespace imn::io
