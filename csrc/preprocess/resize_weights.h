// The source pixels of an output pixel of the bilinear resize, shared by all backends.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace imn::preprocess {

// Two source pixels along one axis; the second has weight `weight`, the first 1 - weight.
struct Tap {
  std::int32_t first;
  std::int32_t second;
  float weight;
};

// As align_corners=False: pixel centres coincide, and positions before the first centre are moved to it. The scale is a
// float32, and scale * (to + 0.5) - 0.5 is rounded to float32 once, like the fused multiply-add in torch's kernels; the
// product of two float32 values is exact in double. Rounding twice would change images of 500 pixels by 1.5e-5.
IMN_HOST_DEVICE inline Tap bilinear_tap(std::int32_t to, std::int32_t source_size, std::int32_t target_size) {
  const float scale = static_cast<float>(source_size) / static_cast<float>(target_size);
  const auto position = static_cast<float>(static_cast<double>(scale) * (to + 0.5) - 0.5);
  const float from = position > 0.0F ? position : 0.0F;
  const std::int32_t last = source_size - 1;
  const auto floor = static_cast<std::int32_t>(from);
  const std::int32_t first = floor < last ? floor : last;
  const float rest = from - static_cast<float>(first);
  return {first, first < last ? first + 1 : last, rest < 1.0F ? rest : 1.0F};
}

}  // namespace imn::preprocess
