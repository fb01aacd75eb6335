// Moran's I over measured pixels.
#pragma once

#include "score/statistics_image.h"

namespace imn::score {

// Rook neighbours (4-connected, binary weights, both ends measured):
//   I = (N / W) * sum_ij w_ij d_i d_j / sum_i d_i^2, where d are the deviations of the N measured pixels.
// Returns 0 if no two measured pixels are neighbours. Call take_deviations() first.
// Source: Moran, P. A. P. (1950), Biometrika 37, 17-23.
float morans_i(const NormalisedImage& image);

}  // namespace imn::score
