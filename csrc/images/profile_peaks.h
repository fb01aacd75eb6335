// Peaks of a curve over m/z bins by signal to noise, and their windows.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "images/profile_fits.h"

namespace imn::images {

struct ProfilePeak {
  std::size_t apex;
  std::size_t first, last;  // bins of the window, inclusive
  double mz;                // of the maximum, interpolated
  double height;            // of the apex over the baseline
};

// A curve to search, and the skewness of its noise at every bin: counts have more high values than low ones.
struct NoisyCurve {
  std::vector<double> values, skewness;
};

// Local maxima of the amplitude of local fits at three scales, in ascending order: the narrow one parts overlapping
// peaks, the wide one finds faint ones. A peak on the flank of a higher one counts if its curvature shows. Windows end
// at a share of the height over the baseline, at a valley, or 1.25 widths from the apex; they do not overlap.
std::vector<ProfilePeak> profile_peaks(const ProfileBins& bins, const NoisyCurve& curve, int threads,
                                       const std::atomic<bool>* cancel);

}  // namespace imn::images
