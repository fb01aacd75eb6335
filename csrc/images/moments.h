// Mean, root mean square and upper spectrum of every m/z position over all spectra, in one pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "io/plane.h"

namespace imn::images {

// The mean shows signals of the whole section, the upper spectrum those of few pixels: it is the mean, over groups of
// about a hundred spectra spread over the section, of the largest value in a group. None depends on the number of
// threads.
struct Moments {
  std::vector<double> mz;
  std::vector<double> mean;
  std::vector<double> rms;
  std::vector<double> upper;  // empty unless asked for
  std::int64_t groups = 0;    // of the upper spectrum
};

enum class Upper { without, with };

// For continuous files, computed on the shared axis. For processed files, which are meant to be profiles, at the points
// of sample_grid(): spectra are interpolated linearly, unless their samples lie on the points.
// The groups of the upper spectrum take at most 64 MiB, or one value per bin.
Moments moments(const io::Plane& plane, int threads, const std::atomic<bool>* cancel, Upper upper = Upper::without);

}  // namespace imn::images
