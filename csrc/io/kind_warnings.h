// Warnings about spectra of different kinds among those that are read.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/header.h"
#include "io/selection.h"
#include "io/types.h"

namespace imn::io {

// Where the spectra that are read lie. `number`: index in the file of a spectrum.
struct Placed {
  std::span<const std::int32_t> coordinates;  // (n, 3): x, y, z
  std::function<std::int64_t(std::int64_t)> number;

  std::int64_t size() const { return static_cast<std::int64_t>(coordinates.size() / 3); }
};

// Several runs that share pixels, and scans that differ in their m/z range, analyser, mode or precursor (full scans
// and SIM windows, segments of a range). One line each.
std::vector<std::string> kind_warnings(const Header& header, const Selection& selection, const OpenOptions& options,
                                       const Placed& placed);

}  // namespace imn::io
