// Mean and root mean square of every m/z position over all spectra, in one pass.
#pragma once

#include <atomic>
#include <vector>

#include "io/plane.h"

namespace imn::images {

// The mean shows what the whole section has; the root mean square is led by the brightest pixels and shows what only a
// small region has (a channel in 1 % of the pixels is 10 times stronger in it). Both are independent of the thread
// count.
struct Moments {
  std::vector<double> mz;
  std::vector<double> mean;
  std::vector<double> rms;
};

// Continuous: on the shared axis. Processed: every spectrum is interpolated linearly to a common grid whose spacing
// follows the data's (meant for profile spectra).
Moments moments(const io::Plane& plane, int threads, const std::atomic<bool>* cancel);

// The grid of a processed profile file: the axis itself where all sampled spectra have the same, else points at the
// median local spacing. Empty for a file without values.
std::vector<double> common_grid(const io::Plane& plane);

}  // namespace imn::images
