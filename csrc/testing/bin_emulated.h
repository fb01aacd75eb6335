// bin_images() with the bodies of the CUDA kernels, run on the host. Tests their arithmetic, their control flow and the
// staging around them in every build. Slow.
#pragma once

#include <cstdint>
#include <span>

#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::testing {

struct BinEmulation {
  std::uint64_t seed = 0;  // order of threads and blocks; 0: ascending
  std::int32_t windows_per_strip = 1 << 20;
  std::int64_t pixels_per_chunk = 1 << 20;
  std::int32_t bins_per_chunk = 1 << 20;  // a multiple of kBinTile
  bool wide = false;                      // use float64 even if float32 holds the values exactly
};

// Same contract as bin_images(). Also throws Error if a kernel writes outside its shared memory.
void bin_images_emulated(const io::Plane& dataset, std::span<const images::MzWindow> windows,
                         const BinEmulation& emulation, float unmeasured, std::span<float> out);

}  // namespace imn::testing
