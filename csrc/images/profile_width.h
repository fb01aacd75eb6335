// Width of a peak as a function of m/z, learnt from a curve over m/z bins.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace imn::images {

// Full width at half maximum: at_one * mz^power.
struct WidthLaw {
  double at_one;
  double power;
  std::size_t peaks;  // that agree with it; 0: nothing was learnt

  double at(double mz) const;
};

// Noise of every bin: 1.4826 MAD of the first differences in a running stretch, over sqrt(2). Differences are
// insensitive to the baseline, and the median to peaks.
std::vector<double> running_noise(std::span<const double> curve);

// Maxima that rise over the valleys on both sides by at least `threshold` (one per bin), in ascending order: bin, and
// height of the higher valley. Outside the axis the curve is taken as 0, so a peak at the rim counts.
std::vector<std::pair<std::size_t, double>> settled_maxima(std::span<const double> curve,
                                                           std::span<const double> threshold);

// The power is the median slope between the highest settled maxima; the level is the median of those that agree. For
// a curve without maxima, a peak is taken to be four bins wide.
WidthLaw learn_width(std::span<const double> mz, std::span<const double> curve);

}  // namespace imn::images
