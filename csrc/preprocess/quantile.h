// The arithmetic of the 0.99 quantile and of the normalisation, shared by all backends.
#pragma once

#include <cfloat>
#include <cstdint>

#include "core/finite.h"
#include "core/host_device.h"

namespace imn::preprocess {

inline constexpr float kQuantile = 0.99F;
inline constexpr float kSmallestDivisor = 1e-6F;

// Position of the quantile in n ascending values: `weight` of the way from value `below` to the next one.
struct QuantileRank {
  std::int64_t below;
  float weight;
};

// The rank is rounded to float32, as torch.quantile does for float32 input. At 50,000 values float32 ranks are 1/256
// apart, so a rank in double would give a different quantile.
IMN_HOST_DEVICE inline QuantileRank quantile_rank(std::int64_t n) {
  const float rank = kQuantile * static_cast<float>(n - 1);
  const auto below = static_cast<std::int64_t>(rank);
  return {below, rank - static_cast<float>(below)};
}

// Interpolates linearly between the two values around the rank, starting from the nearer one.
IMN_HOST_DEVICE inline float quantile_between(float below, float above, float weight) {
  const float a = clamp_finite(below);
  const float b = clamp_finite(above);
  const float span = b - a;
  if (span > FLT_MAX) return a * (1.0F - weight) + b * weight;  // b - a overflows, but the result does not
  return weight < 0.5F ? a + weight * span : b - span * (1.0F - weight);
}

IMN_HOST_DEVICE inline float divisor(float quantile) {
  return quantile > kSmallestDivisor ? quantile : kSmallestDivisor;
}

IMN_HOST_DEVICE inline float normalise(float x, float by) {
  const float y = x / by;
  return y < 0.0F ? 0.0F : (y > 1.0F ? 1.0F : y);
}

}  // namespace imn::preprocess
