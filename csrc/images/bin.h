// bin_images: makes one ion image per m/z window in one pass over the spectra.
#pragma once

#include <atomic>
#include <span>

#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::images {

struct BinOptions {
  int threads = 0;          // 0: all cores
  float unmeasured = 0.0f;  // value of pixels without a spectrum (NaN for users, 0 for the model)
  const std::atomic<bool>* cancel = nullptr;
};

// Throws ArgumentError if a bound is not finite or lo > hi.
void check_windows(std::span<const MzWindow> windows);

// out[w*height*width + y*width + x] = sum of the intensities of the pixel's spectrum with lo <= mz <= hi, accumulated
// in float64 from low to high m/z, multiplied by the plane's image factor and rounded once to float32. Windows may be
// in any order, overlap and repeat. Only the m/z range that the windows span is read, so a narrow strip of windows
// reads a narrow range of the file. Throws ArgumentError (as check_windows, or `out` has the wrong size), FileError,
// Cancelled.
void bin_images(const io::Plane& plane, std::span<const MzWindow> windows, const BinOptions& options,
                std::span<float> out);

}  // namespace imn::images
