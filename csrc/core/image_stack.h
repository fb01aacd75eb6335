// ImageStack: ion images of one section, passed from images/ to score/.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace imn {

// n images [y, x] of float32, image-major and contiguous; non-owning. A pixel is *measured* if it is not NaN and
// `mask`, if given, is not 0 there (height*width, 1 = measured, shared by all images). `sample`: probability from 0 to
// 1 that a pixel is sample (height*width, 0 = not measured, shared by all images); null = unknown.
struct ImageStack {
  const float* data = nullptr;
  std::int64_t n = 0;
  std::int32_t height = 0;
  std::int32_t width = 0;
  const std::uint8_t* mask = nullptr;
  const float* sample = nullptr;

  IMN_HOST_DEVICE std::int64_t pixels() const { return std::int64_t{height} * width; }
  IMN_HOST_DEVICE const float* image(std::int64_t i) const { return data + i * pixels(); }
};

}  // namespace imn
