// The implementation behind bin_images for options.device.is_cuda; arguments are checked there. In bin_once_cuda.cpp,
// or no_cuda.cpp, where it throws UnavailableError.
#pragma once

#include <span>

#include "images/bin.h"

namespace imn::images {

void bin_images_cuda(const io::Dataset& dataset, std::span<const MzWindow> windows, const BinOptions& options,
                     std::span<float> out);

}  // namespace imn::images
