// Blank images: those that hold nothing to see. Specification: python/ionmorphnet/reference/preprocess.py.
#pragma once

#include <cstdint>

#include "core/image_stack.h"
#include "preprocess/preprocess.h"

namespace imn::preprocess {

// out[i] = 1 where image i is blank: no pixel was measured, or clip(x / max(q, 1e-6), 0, 1) is the same at every
// measured pixel, with q the quantile that `id` takes. So are empty and constant images, and those that only differ
// below 0 or above the quantile.
void find_blank(const ImageStack& stack, PreprocessId id, int threads, std::uint8_t* out);

}  // namespace imn::preprocess
