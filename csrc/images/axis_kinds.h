// The makers behind candidate_axis, one a kind of file. Frequencies are filled in by all of them.
#pragma once

#include <span>

#include "images/candidate_axis.h"
#include "images/mz_window.h"

namespace imn::images {

// Windows of the bins of an axis: half-way to the neighbours; outwards, the first and the last reach as far as inwards.
// A single bin gets +-5 ppm. The bounds of neighbours do not touch: a value on a border belongs to the lower bin.
std::vector<MzWindow> bin_windows(std::span<const double> mz);

CandidateAxis axis_of_bins(const io::Plane& plane, const AxisOptions& options);
CandidateAxis axis_of_profile(const io::Plane& plane, const AxisOptions& options);
CandidateAxis axis_of_centroids(const io::Plane& plane, const AxisOptions& options);

// Share of spectra with a non-zero value in every window.
void fill_frequency(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis);

}  // namespace imn::images
