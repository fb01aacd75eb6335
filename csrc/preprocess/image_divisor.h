// The divisor of the pixels of one image.
#pragma once

#include <cstdint>
#include <limits>

#include "core/image_stack.h"
#include "preprocess/clean_row.h"
#include "preprocess/quantile.h"
#include "preprocess/top_values.h"

namespace imn::preprocess {

// Pixels of one image as the quantile counts them. Unmeasured pixels count as 0 or, with `measured_only`, sort below
// all measured ones. Both become 0 after clipping, and in the second case the top values are those of the measured
// pixels only.
inline PixelSource quantile_source(const ImageStack& stack, std::int64_t image, bool measured_only) {
  return {stack.image(image), stack.mask, measured_only ? -std::numeric_limits<float>::infinity() : 0.0F};
}

// max(q, 1e-6) with q the 0.99 quantile of the `counted` largest of n pixels; 1 <= counted <= n.
inline float image_divisor(const PixelSource& source, std::int64_t n, std::int64_t counted, TopScratch& scratch) {
  const QuantileRank rank = quantile_rank(counted);
  const TopPair pair = top_pair(source, n, counted - rank.below, scratch);
  return divisor(quantile_between(pair.value, pair.above, rank.weight));
}

}  // namespace imn::preprocess
