// Blank images, which have no structure. Specification: python/ionmorphnet/reference/preprocess.py.
#pragma once

#include <cstdint>

#include "core/image_stack.h"

namespace imn::preprocess {

// Sets out[i] to 1 if image i is blank, else to 0. An image is blank if no pixel was measured, or if clip(x / max(q,
// 1e-6), 0, 1) is the same at every measured pixel, with q the quantile over the measured pixels or, without
// `measured_only`, over all pixels. These are empty images, constant images, and images whose values differ only below
// 0 or above the quantile.
void find_blank(const ImageStack& stack, bool measured_only, int threads, std::uint8_t* out);

}  // namespace imn::preprocess
