// What the values of each measured pixel are multiplied by.
#pragma once

#include <cstdint>
#include <span>

namespace imn::images {

// The factor of a pixel in `factors` of io::Plane.
inline double factor_at(std::span<const double> factors, std::int64_t pixel) {
  return factors.empty() ? 1.0 : factors[static_cast<std::size_t>(pixel)];
}

}  // namespace imn::images
