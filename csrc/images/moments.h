// Mean and root mean square of every m/z position over all spectra, in one pass.
#pragma once

#include <atomic>
#include <vector>

#include "io/plane.h"

namespace imn::images {

// The mean shows signals of the whole section. The root mean square is dominated by the brightest pixels and shows
// signals of small regions (a channel in 1 % of the pixels is 10 times stronger in it). Neither depends on the number
// of threads.
struct Moments {
  std::vector<double> mz;
  std::vector<double> mean;
  std::vector<double> rms;
};

// For continuous files, computed on the shared axis. For processed files, every spectrum is interpolated linearly to a
// common grid whose spacing follows that of the data; this is intended for profile spectra.
Moments moments(const io::Plane& plane, int threads, const std::atomic<bool>* cancel);

// Returns the grid of a processed profile file: the m/z axis itself if all sampled spectra share it, otherwise points
// at the local median spacing. Empty for a file without values.
std::vector<double> common_grid(const io::Plane& plane);

}  // namespace imn::images
