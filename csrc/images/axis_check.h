// Self-checks of a candidate axis: whether its windows hold the strongest signals of the file.
#pragma once

#include <vector>

#include "images/candidate_axis.h"
#include "io/plane.h"

namespace imn::images {

// Both add the share found to the evidence, and a note if most are in no window. An axis without channels is left
// alone.

// The strongest maxima of the mean spectrum above their surroundings. mz ascends and is as long as mean.
void check_strongest_bins(const std::vector<double>& mz, const std::vector<double>& mean, CandidateAxis& axis);

// The strongest peaks of a few spectra that return at about the same m/z.
void check_strongest_peaks(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis);

}  // namespace imn::images
