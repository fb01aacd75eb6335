// The implementations of candidate_axis, one per kind of file. Each fills in the frequencies, and may add notes and
// evidence.
#pragma once

#include <span>

#include "images/candidate_axis.h"
#include "images/mz_window.h"

namespace imn::images {

// Windows of the bins of an axis, each reaching half-way to its neighbours. The first and the last reach outwards as
// far as inwards; a single bin gets +-5 ppm. Bounds of neighbours do not touch: a value on a border belongs to the
// lower bin.
std::vector<MzWindow> bin_windows(std::span<const double> mz);

CandidateAxis axis_of_bins(const io::Plane& plane, const AxisOptions& options);
CandidateAxis axis_of_profile(const io::Plane& plane, const AxisOptions& options);
CandidateAxis axis_of_centroids(const io::Plane& plane, const AxisOptions& options);

// Fills in, for every window, the share of spectra with a non-zero value in it.
void fill_frequency(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis);

}  // namespace imn::images
