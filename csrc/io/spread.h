// Which spectra stand for all of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace imn::io {

// The k-th of `samples` numbers below n, ascending: one of each of as many stretches of equal length, at places that
// differ from stretch to stretch. Equal steps would be pixels of one column where the width of the section divides
// them.
inline std::int64_t spread(std::int64_t k, std::int64_t samples, std::int64_t n) {
  if (samples >= n) return k;
  constexpr double kGolden = 0.6180339887498949;
  const double place = static_cast<double>(k) * kGolden;
  const double at = (static_cast<double>(k) + place - std::floor(place)) / static_cast<double>(samples);
  return std::min(n - 1, static_cast<std::int64_t>(at * static_cast<double>(n)));
}

}  // namespace imn::io
