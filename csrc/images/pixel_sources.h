// The spectra that make up each measured pixel, and what their sum is multiplied by.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "io/plane.h"

namespace imn::images {

// Further spectra of pixels measured more than once (Duplicates::sum), looked up by pixel.
class ExtraSpectra {
 public:
  explicit ExtraSpectra(std::span<const io::Pixel> extra) : extra_(extra.begin(), extra.end()) {
    std::stable_sort(extra_.begin(), extra_.end(),
                     [](const io::Pixel& a, const io::Pixel& b) { return a.index < b.index; });
  }

  std::span<const io::Pixel> at(std::int64_t pixel) const {
    if (extra_.empty()) return {};
    const auto below = [](const io::Pixel& a, std::int64_t index) { return a.index < index; };
    const auto first = std::lower_bound(extra_.begin(), extra_.end(), pixel, below);
    const auto last = std::lower_bound(first, extra_.end(), pixel + 1, below);
    return {first, last};
  }

 private:
  std::vector<io::Pixel> extra_;
};

// The factor of a pixel in `factors` of Plane.
inline double factor_at(std::span<const double> factors, std::int64_t pixel) {
  return factors.empty() ? 1.0 : factors[static_cast<std::size_t>(pixel)];
}

}  // namespace imn::images
