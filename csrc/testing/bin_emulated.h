// bin_images() through the bodies of the CUDA kernels, run on the host. Tests their arithmetic, their control flow and
// the staging around them in every build. It is slow.
#pragma once

#include <cstdint>
#include <span>

#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::testing {

struct BinEmulation {
  std::uint64_t seed = 0;  // order of threads and blocks; 0: by number
  std::int32_t windows_per_strip = 1 << 20;
  std::int64_t pixels_per_block = 1 << 20;
  std::int32_t bins_per_piece = 1 << 20;  // a multiple of kBinTile
  bool wide = false;                      // float64 even where float32 holds the values
};

// Contract of bin_images(). Also throws Error if a kernel writes outside its shared memory.
void bin_images_emulated(const io::Plane& dataset, std::span<const images::MzWindow> windows,
                         const BinEmulation& emulation, float unmeasured, std::span<float> out);

}  // namespace imn::testing
