// The m/z positions at which the spectra of a processed profile file are compared.
#pragma once

#include <vector>

#include "io/plane.h"

namespace imn::images {

struct SampleGrid {
  std::vector<double> mz;
  // The samples of all spectra lie on the points, and each spectrum leaves some out, as where values below a threshold
  // are not stored: what is missing is 0.
  bool shared = false;
};

// The m/z axis itself if all sampled spectra have the same; the axis that they leave points out of, with points where
// no sampled spectrum has any; otherwise points at the local median spacing. Empty for a file without values.
SampleGrid sample_grid(const io::Plane& plane);

}  // namespace imn::images
