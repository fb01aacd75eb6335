// Norms of the spectra that pixels show, by which ion images are normalised.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "io/plane.h"

namespace imn::images {

enum class Norm {
  tic,     // sum of the intensities
  rms,     // root of the mean of the squared intensities of all points, zeros included
  median,  // of the positive intensities; of an even number, the mean of the middle two
};

constexpr const char* name_of(Norm norm) { return norm == Norm::tic ? "tic" : norm == Norm::rms ? "rms" : "median"; }

// (height*width): the norm of each pixel's spectrum over lo <= mz <= hi, in one pass over the spectra; 0 where nothing
// was measured or there is no value in the range. Norms of several spectra of a pixel are added and multiplied by its
// total factor. The result does not depend on `threads` (0: all cores). Throws ArgumentError for several z values,
// FileError, Cancelled.
std::vector<double> pixel_norms(const io::Plane& plane, Norm norm, double lo, double hi, int threads,
                                const std::atomic<bool>* cancel = nullptr);

// The lower of the middle two of the norms that are positive and finite; 0 if there are none.
double median_norm(std::span<const double> norms);

// Factors that make all norms equal to median_norm(), so that a typical pixel keeps its intensities; 0 where the norm
// is not positive and finite, or the factor is not finite.
std::vector<double> normalization_factors(std::span<const double> norms);

}  // namespace imn::images
