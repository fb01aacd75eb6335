// Local maxima of a curve over bins that rise above its noise.
#pragma once

#include <cstddef>
#include <vector>

namespace imn::images {

struct ProfilePeak {
  std::size_t apex;
  std::size_t first, last;  // bins of the window, inclusive
  double left, right;       // height of the valleys on both sides
};

// Noise of every bin: 1.4826 MAD of the first differences in a running stretch, over sqrt(2). Differences are
// insensitive to the baseline, and the median to peaks.
std::vector<double> running_noise(const std::vector<double>& curve);

// If most neighbouring bins are both 0, there is no noise floor, and running_noise() measures the flanks of peaks.
std::vector<char> without_floor(const std::vector<double>& curve);

// Maxima that rise above the valleys on both sides by at least `threshold` (one per bin), in ascending order. A window
// reaches down to the valley, or to where the curve falls to a tenth of the height over that side's valley: 97 % of
// the area of a normal peak lie within, and further out neighbours and baseline outweigh the peak.
std::vector<ProfilePeak> profile_peaks(const std::vector<double>& curve, const std::vector<double>& threshold);

}  // namespace imn::images
