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

// The first spectrum at the position of each spectrum, which is the spectrum itself where none comes before it. Empty
// if no two spectra share a position. `coordinates` (n, 3).
std::vector<std::int64_t> first_at_position(std::span<const std::int32_t> coordinates);

}  // namespace imn::io
