// The levels of the measure of spatial chaos, shared by every backend.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace imn::score {

inline constexpr std::int32_t kChaosLevels = 30;

// Returns how many of the levels 0, 1/29, ..., 1 a value in [0, 1] exceeds: ceil(29 x), without the library call.
IMN_HOST_DEVICE inline std::int32_t chaos_level(float x) {
  const float scaled = x * static_cast<float>(kChaosLevels - 1);
  const auto whole = static_cast<std::int32_t>(scaled);
  return whole + (static_cast<float>(whole) < scaled ? 1 : 0);
}

// Returns the measure, from the number of objects summed over all levels and the number of pixels above 0.
IMN_HOST_DEVICE inline float chaos_measure(std::int64_t objects, std::int64_t positive) {
  if (objects == 0) return 0.0F;
  const double mean = static_cast<double>(objects) / kChaosLevels;
  return static_cast<float>(1.0 - mean / static_cast<double>(positive));
}

}  // namespace imn::score
