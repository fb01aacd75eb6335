// Whether spectra look like profiles or like centroids.
#include <algorithm>
#include <cmath>
#include <vector>

#include "io/spectra.h"

namespace imn::io {

// A profile is sampled: the distance from one m/z value to the next hardly changes, whereas peaks lie at irregular
// distances. A profile is also smooth, whereas the intensities of neighbouring peaks, or bins, are almost unrelated.
Sampling Spectra::sampling() const {
  constexpr std::int64_t kSpectra = 16;
  constexpr std::int64_t kValues = 4096;
  std::int64_t regular = 0, pairs = 0, looked_at = 0;
  std::int64_t shaped = 0;
  double together = 0.0;
  std::vector<double> mz, intensity;
  const std::int64_t n = size_;
  const std::int64_t stride = std::max<std::int64_t>(1, n / kSpectra);
  for (std::int64_t s = 0; s < n && looked_at < kSpectra; s += stride) {
    const std::int64_t values = std::min(layout_.mz.length(s), kValues);
    if (values < 3) continue;
    mz.resize(static_cast<std::size_t>(values));
    intensity.resize(mz.size());
    try {
      read_array(ibd_.bytes(), layout_.mz[s], 0, values, mz.data());
      read_array(ibd_.bytes(), layout_.intensity[s], 0, values, intensity.data());
    } catch (const ArrayError&) {
      continue;  // reading the spectrum will report it
    }
    ++looked_at;
    for (std::size_t k = 2; k < mz.size(); ++k) {
      const double a = mz[k - 1] - mz[k - 2], b = mz[k] - mz[k - 1];
      if (!(a > 0.0 && b > 0.0)) continue;
      ++pairs;
      if (std::min(a, b) > 0.8 * std::max(a, b)) ++regular;
    }
    zero_non_finite(intensity);
    double mean = 0.0;
    for (const double v : intensity) mean += v / static_cast<double>(values);
    double own = 0.0, next = 0.0;
    for (std::size_t k = 0; k < intensity.size(); ++k) {
      own += (intensity[k] - mean) * (intensity[k] - mean);
      if (k > 0) next += (intensity[k] - mean) * (intensity[k - 1] - mean);
    }
    // Rounding errors around a constant are not a shape.
    if (!(own > 1e-12 * mean * mean * static_cast<double>(values)) || !std::isfinite(own)) continue;
    ++shaped;  // each spectrum has the same weight, however bright it is
    together += next / own;
  }
  if (pairs < 8) return {};
  return {static_cast<double>(regular) / static_cast<double>(pairs),
          shaped > 0 ? together / static_cast<double>(shaped) : 0.0};
}

}  // namespace imn::io
