// m/z windows are closed intervals. This is the only place where a tolerance becomes two bounds.
#pragma once

#include <cstdint>

namespace imn::images {

// No ion is lighter. Files may contain 0, which has no logarithm, so lower values are ignored on logarithmic axes.
inline constexpr double kLeastMz = 1.0;

// Values with lo <= mz <= hi belong to the window; both bounds are double and compared exactly.
struct MzWindow {
  double lo;
  double hi;
};

// Half width in parts per million of the centre.
inline MzWindow ppm_window(double mz, double ppm) {
  const double half = mz * ppm * 1e-6;
  return {mz - half, mz + half};
}

// Half width in m/z units.
inline MzWindow tol_window(double mz, double tol) { return {mz - tol, mz + tol}; }

}  // namespace imn::images
