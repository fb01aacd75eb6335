// Questions about positions and their grid that the file itself cannot answer: missing z, and grids that are no image.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/grid.h"

namespace imn::io {

// Gives a z to spectra that have none (kAbsent), in `raw` (n, 3). If none has one, all get 0. If the others lie on
// other pixels of their lowest plane, they belong to it; otherwise they are a plane of their own below it.
void fill_z(std::vector<std::int64_t>& raw, std::vector<std::string>& warnings);

// Throws FileError for positions that are no image: their grid exceeds largest_grid(), and not because of some regions
// that lie far apart. Warns where it is because of those, where most spectra have no neighbour, and where the header
// declares fewer pixels than there are positions.
void check_grid(const Grid& grid, const PixelHints& hints, std::size_t n_spectra, const std::string& path,
                std::vector<std::string>& warnings);

}  // namespace imn::io
