// The CPU implementation behind extract_patches; arguments are checked there.
#pragma once

#include "images/patches.h"

namespace imn::images {

void extract_patches_cpu(const PixelCube& cube, std::span<const std::int64_t> pixels, std::int64_t size,
                         const ChannelScaling& scaling, int threads, float* values, std::uint8_t* mask,
                         const std::atomic<bool>* cancel);

}  // namespace imn::images
