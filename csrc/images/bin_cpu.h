// The CPU implementation of bin_images, which checks the arguments.
#pragma once

#include <span>

#include "images/bin.h"

namespace imn::images {

void bin_images_cpu(const io::Plane& plane, std::span<const MzWindow> windows, const BinOptions& options,
                    std::span<float> out);

}  // namespace imn::images
