// Moran's I over measured pixels: a classical score that needs no model.
#pragma once

#include "core/image_stack.h"

namespace imn::score {

// out[i] = Moran's I of image i with rook neighbours (4-connected, binary weights, both ends measured):
//   I = (N / W) * sum_ij w_ij (x_i - m)(x_j - m) / sum_i (x_i - m)^2
// over the N measured pixels; float64 inside. Constant, empty or neighbourless images give 0.
// Source: Moran, P. A. P. (1950), Biometrika 37, 17-23.
void morans_i(const ImageStack& stack, int threads, float* out);

}  // namespace imn::score
