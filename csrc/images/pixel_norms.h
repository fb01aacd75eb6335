// Norms of the spectra that pixels show, by which ion images are normalised.
#pragma once

#include <atomic>
#include <vector>

#include "io/plane.h"

namespace imn::images {

enum class Norm {
  tic,     // sum of the intensities
  rms,     // root of the mean of the squared intensities of all points, zeros included
  median,  // of the positive intensities; of an even number, the mean of the middle two
};

// (height*width): the norm of each pixel's spectrum over lo <= mz <= hi, in one pass over the spectra; 0 where nothing
// was measured or there is no value in the range. Norms of several spectra of a pixel are added and multiplied by its
// total factor. The result does not depend on `threads` (0: all cores). Throws ArgumentError for several z values,
// FileError, Cancelled.
std::vector<double> pixel_norms(const io::Plane& plane, Norm norm, double lo, double hi, int threads,
                                const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::images
