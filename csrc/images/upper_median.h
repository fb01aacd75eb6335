// Order statistics of a vector, which is reordered.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace imn::images {

// The value that `rank` others do not exceed. Reorders the values.
inline double value_of_rank(std::vector<double>& values, std::size_t rank) {
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

// Median; of an even number of values the larger one in the middle, of none 0. Reorders the values.
inline double upper_median(std::vector<double>& values) {
  return values.empty() ? 0.0 : value_of_rank(values, values.size() / 2);
}

}  // namespace imn::images
