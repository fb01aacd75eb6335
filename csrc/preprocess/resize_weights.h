// The source pixels of an output pixel of the resize, and their weights, shared by all backends.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "preprocess/preprocess_id.h"

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

// Whether Resize::area differs from Resize::stretch: an axis of the image is longer than that of the input. Both axes
// are then weighted by area_weight().
IMN_HOST_DEVICE inline bool shrinks(std::int32_t height, std::int32_t width, const PreprocessId& id) {
  return id.resize == Resize::area && (height > id.size || width > id.size);
}

// Source pixels [first, first + n) of output pixel `to`.
struct AreaSpan {
  std::int32_t first;
  std::int32_t n;
  double centre;  // of the output pixel, in source pixels
  double reach;   // of the triangle, at least 1
  double total;   // of the triangle's heights at the source pixels
};

// The height of a triangle around the output pixel's centre at source pixel first + k.
inline double area_height(const AreaSpan& span, std::int32_t k) {
  const double distance = (span.first + k + 0.5 - span.centre) / span.reach;
  const double height = 1.0 - (distance < 0.0 ? -distance : distance);
  return height > 0.0 ? height : 0.0;
}

// As antialias=True of torch and Pillow, with align_corners=False: the triangle reaches one pixel of the coarser grid,
// and what lies beyond the edges is left out. The weights are computed in double and rounded once.
inline AreaSpan area_span(std::int32_t to, std::int32_t source_size, std::int32_t target_size) {
  const double scale = static_cast<double>(source_size) / target_size;
  AreaSpan span{0, 0, scale * (to + 0.5), scale > 1.0 ? scale : 1.0, 0.0};
  const auto begin = static_cast<std::int32_t>(span.centre - span.reach + 0.5);  // rounds a negative number up to 0
  const auto end = static_cast<std::int32_t>(span.centre + span.reach + 0.5);
  span.first = begin > 0 ? begin : 0;
  span.n = (end < source_size ? end : source_size) - span.first;
  for (std::int32_t k = 0; k < span.n; ++k) span.total += area_height(span, k);
  return span;
}

inline float area_weight(const AreaSpan& span, std::int32_t k) {
  return static_cast<float>(area_height(span, k) / span.total);
}

}  // namespace imn::preprocess
