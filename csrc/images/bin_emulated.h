// bin_images through the bodies of the CUDA kernels, run on the host: for tests of their arithmetic, their control flow
// and the staging around them, in every build. It is slow.
#pragma once

#include <cstdint>
#include <span>

#include "images/mz_window.h"
#include "io/dataset.h"

namespace imn::images {

struct BinEmulation {
  std::uint64_t seed = 0;  // order of threads and blocks; 0: as numbered
  std::int32_t windows_per_strip = 1 << 20;
  std::int64_t pixels_per_block = 1 << 20;
  std::int32_t bins_per_piece = 1 << 20;  // a multiple of kBinTile
  bool wide = false;                      // float64 also where float32 would hold the values
};

// Contract of bin_images. Throws Error too where a kernel writes beside its shared memory.
void bin_images_emulated(const io::Dataset& dataset, std::span<const MzWindow> windows, const BinEmulation& emulation,
                         float unmeasured, std::span<float> out);

}  // namespace imn::images
