// Local fits, baseline and noise of a curve over m/z bins, in widths of a peak.
#pragma once

#include <atomic>
#include <span>
#include <vector>

namespace imn::images {

inline constexpr double kFwhmSigmas = 2.354820045;  // full width at half maximum of a normal peak

// Bins of a profile: m/z, smallest distance to a neighbour, and full width at half maximum of a peak at each.
struct ProfileBins {
  std::vector<double> mz, step, width;
};

// Local quadratic fits, one value per bin.
struct LocalFits {
  std::vector<double> smooth;          // height
  std::vector<double> amplitude;       // height of a normal peak with the same curvature
  std::vector<double> smooth_gain;     // standard deviation of `smooth` for white noise of standard deviation 1
  std::vector<double> amplitude_gain;  // the same of `amplitude`; infinite where a fit is impossible
};

// Weighted fits around every bin. `kernel` is the standard deviation of the weights, in standard deviations of a peak.
// The curvature, hence the amplitude, does not depend on a linear baseline.
LocalFits local_fits(const ProfileBins& bins, std::span<const double> curve, double kernel, int threads,
                     const std::atomic<bool>* cancel);

// Baseline: every bin is clipped at the mean of both sides, from four widths away to near (SNIP, Ryan et al. 1988,
// Morhac et al. 1997).
std::vector<double> snip_baseline(const ProfileBins& bins, std::span<const double> curve, int threads,
                                  const std::atomic<bool>* cancel);

// Noise of the amplitudes along m/z: 1.4826 MAD, or more where large values are more frequent than in normal noise.
// Several rounds leave out the peaks that the last one shows.
std::vector<double> noise_of_amplitude(const ProfileBins& bins, const LocalFits& fits);

}  // namespace imn::images
