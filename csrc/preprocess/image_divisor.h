// What the pixels of one image are divided by.
#pragma once

#include <cstdint>
#include <limits>

#include "preprocess/clean_row.h"
#include "preprocess/preprocess.h"
#include "preprocess/quantile.h"
#include "preprocess/top_values.h"

namespace imn::preprocess {

// Pixels of one image as the quantile of `id` counts them. Not measured pixels either count as 0, or sink below every
// measured one: both are 0 after clipping, and the top values, counted from above, are then those of the measured
// pixels alone.
inline PixelSource quantile_source(const ImageStack& stack, std::int64_t image, PreprocessId id) {
  const bool measured_only = id == PreprocessId::p99_stretch_224_mask;
  return {stack.image(image), stack.mask, measured_only ? -std::numeric_limits<float>::infinity() : 0.0F};
}

// max(q, 1e-6) with q the 0.99 quantile of the `counted` largest of n pixels; 1 <= counted <= n.
inline float image_divisor(const PixelSource& source, std::int64_t n, std::int64_t counted, TopScratch& scratch) {
  const QuantileRank rank = quantile_rank(counted);
  const TopPair pair = top_pair(source, n, counted - rank.below, scratch);
  return divisor(quantile_between(pair.value, pair.above, rank.weight));
}

}  // namespace imn::preprocess
