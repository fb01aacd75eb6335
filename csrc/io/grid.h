// Turns the positions written in a file into a pixel grid.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/types.h"

namespace imn::io {

struct Grid {
  std::int32_t width = 0, height = 0;
  std::vector<std::int32_t> coordinates;      // (n, 3): x, y, z, 1-based
  std::array<std::int64_t, 3> origin{};       // smallest written x, y, z
  std::array<std::int64_t, 3> step{1, 1, 1};  // written units per pixel
  // Declared pixel sizes from one pixel to the next in x and y; 0: step > 1, and nothing tells.
  std::array<std::int64_t, 2> sizes_per_step{1, 1};
  std::vector<std::string> warnings;
};

// What the header declares about the pixels, as far as it can be trusted.
struct PixelHints {
  std::optional<std::int64_t> count_x, count_y;
  std::optional<std::pair<double, double>> size_um, extent_um;  // width and height: of a pixel, of the section
};

// `raw` (n, 3). Positions are divided by their step, which may differ between the axes (grid_steps.h). Throws FileError
// if a side has more pixels than an int32 counts; whether the grid is small enough for an image is another question:
// largest_grid().
Grid make_grid(const std::vector<std::int64_t>& raw, const PixelHints& hints, const std::string& path);

// Most pixels of an image of this many spectra.
std::int64_t largest_grid(std::int64_t n_spectra);

// The first spectrum at the position of each spectrum, which is the spectrum itself where none comes before it. Empty
// if no two spectra share a position and none is left out. `coordinates` (n, 3). `copies`: those of 0 and more are left
// out, so that their result is -1; empty: none is.
std::vector<std::int64_t> first_at_position(std::span<const std::int32_t> coordinates,
                                            std::span<const std::int64_t> copies = {});

}  // namespace imn::io
