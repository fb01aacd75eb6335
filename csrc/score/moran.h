// Moran's I over measured pixels.
#pragma once

#include "score/statistics_image.h"

namespace imn::score {

// Rook neighbours (4-connected, binary weights, both ends measured):
//   I = (N / W) * sum_ij w_ij d_i d_j / sum_i d_i^2, d = deviations of the N measured pixels
// An image without neighbours gives 0. Needs take_deviations().
// Source: Moran, P. A. P. (1950), Biometrika 37, 17-23.
float morans_i(const NormalisedImage& image);

}  // namespace imn::score
