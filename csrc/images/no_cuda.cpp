// Takes the place of the CUDA files of this folder in a build without CUDA.
#include "core/error.h"
#include "images/bin_device.h"

namespace imn::images {

void bin_images_cuda(const io::Dataset&, std::span<const MzWindow>, const BinOptions&, std::span<float>) {
  throw UnavailableError("this build has no CUDA code; install the CUDA toolkit (nvcc) and build again");
}

}  // namespace imn::images
