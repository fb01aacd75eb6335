// The Gaussian of the blur statistic, shared by every backend.
#pragma once

#include <cmath>

#include "core/host_device.h"

namespace imn::score {

inline constexpr int kBlurRadius = 8;  // four sigma
inline constexpr double kBlurSigma = 2.0;

struct BlurWeights {
  float at[kBlurRadius + 1];  // by distance
};

// Not normalised, because the statistic divides two blurs.
inline BlurWeights gaussian() {
  BlurWeights weights;
  for (int k = 0; k <= kBlurRadius; ++k) {
    const double z = k / kBlurSigma;
    weights.at[k] = static_cast<float>(std::exp(-0.5 * z * z));
  }
  return weights;
}

}  // namespace imn::score
