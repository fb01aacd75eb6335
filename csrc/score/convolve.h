// The Gaussian blur of the statistics along one axis.
#pragma once

#include <cstdint>

#include "score/blur_weights.h"

namespace imn::score {

// out[i] = sum over k of weights.at[|k|] * in[i + k * stride], |k| <= kBlurRadius, for i in [0, n). Reads `in` up to
// kBlurRadius * stride before its begin and behind its end.
void convolve(const float* in, std::int64_t stride, std::int64_t n, const BlurWeights& weights, float* out);

}  // namespace imn::score
