// preprocess: turns ion images into the network's input. Specification: python/ionmorphnet/reference/preprocess.py.
#pragma once

#include <cstdint>
#include <string>

#include "core/image_stack.h"

namespace imn::preprocess {

enum class PreprocessId {
  p99_stretch_224,       // all grid pixels count, not measured = 0, one channel
  p99_stretch_224_mask,  // quantile over measured pixels, second channel = measured mask
};

// "p99-stretch-224" or "p99-stretch-224-mask"; anything else is an ArgumentError that lists the known ids.
PreprocessId parse_preprocess_id(const std::string& id);
std::int32_t channels(PreprocessId id);
inline constexpr std::int32_t kInputSize = 224;

// out: (stack.n, channels, kInputSize, kInputSize) float32, contiguous.
// Per image: q = 0.99 quantile (linear interpolation, rank computed in float32), clip(x / max(q, 1e-6), 0, 1), bilinear
// resize with align_corners=False and no antialiasing. Quantile, clip and resize are fused, so that each image is read
// once.
void preprocess(const ImageStack& stack, PreprocessId id, int threads, float* out);

}  // namespace imn::preprocess
