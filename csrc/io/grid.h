// Turns the positions written in a file into a pixel grid.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/types.h"

namespace imn::io {

struct Grid {
  std::int32_t width = 0, height = 0;
  std::vector<std::int32_t> coordinates;      // (n, 3): x, y, z, 1-based
  std::array<std::int64_t, 3> origin{};       // smallest written x, y, z
  std::array<std::int64_t, 3> step{1, 1, 1};  // written units per pixel
  std::vector<std::string> warnings;
};

// `raw` (n, 3). `declared_x`, `declared_y`: the declared pixel counts, if any. Throws FileError if the grid would
// exceed the limit that the message states.
Grid make_grid(const std::vector<std::int64_t>& raw, std::optional<std::int64_t> declared_x,
               std::optional<std::int64_t> declared_y, const std::string& path);

// The spectrum that each pixel shows.
struct PixelTable {
  std::vector<Pixel> pixels, extra;
  // (height * width): what the sum of a pixel's spectra is multiplied by; empty: 1 everywhere.
  std::vector<double> factors;
};

// `coordinates` (n, 3) of one plane; spectra keep their order.
PixelTable make_pixels(std::int32_t width, std::int32_t height, std::span<const std::int32_t> coordinates,
                       Duplicates policy);

}  // namespace imn::io
