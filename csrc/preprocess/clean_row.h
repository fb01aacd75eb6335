// The value of a pixel, defined once for quantile and resize.
#pragma once

#include <cstddef>
#include <cstdint>

namespace imn::preprocess {

// Pixels of one image; unmeasured ones (NaN, or mask == 0) read as `unmeasured`.
struct PixelSource {
  const float* pixels;
  const std::uint8_t* mask;  // may be null
  float unmeasured;
};

inline bool is_measured(const PixelSource& source, std::int64_t i) {
  const float x = source.pixels[i];
  return x == x && (source.mask == nullptr || source.mask[i] != 0);
}

inline float clean(const PixelSource& source, std::int64_t i) {
  return is_measured(source, i) ? source.pixels[i] : source.unmeasured;
}

// Applies clean() to `n` pixels from `begin`; inline, so that it is vectorised for the caller's instruction set.
inline void clean_row(const PixelSource& source, std::int64_t begin, std::int64_t n, float* __restrict out) {
  const float* pixels = source.pixels + begin;
  const float unmeasured = source.unmeasured;
  if (source.mask == nullptr) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = pixels[i] == pixels[i] ? pixels[i] : unmeasured;
  } else {
    const std::uint8_t* mask = source.mask + begin;
    for (std::int64_t i = 0; i < n; ++i) {
      const float x = mask[i] != 0 ? pixels[i] : unmeasured;
      out[i] = x == x ? x : unmeasured;
    }
  }
}

}  // namespace imn::preprocess
