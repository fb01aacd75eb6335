// bin_images: one pass over the spectra, one ion image per m/z window.
#pragma once

#include <atomic>
#include <span>

#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::images {

struct BinOptions {
  int threads = 0;          // 0: all
  float unmeasured = 0.0f;  // value of pixels without a spectrum (NaN for users, 0 for the model)
  const std::atomic<bool>* cancel = nullptr;
};

// Throws ArgumentError: bounds not finite, lo > hi.
void check_windows(std::span<const MzWindow> windows);

// out[w*height*width + y*width + x] = sum of the intensities of the pixel's spectrum with lo <= mz <= hi, accumulated
// in float64 from low to high m/z and rounded once to float32. Windows may be in any order, overlap and repeat. Only
// the m/z range that the windows span is read, so a strip of windows costs a strip of the file. Throws ArgumentError
// (bounds not finite, lo > hi, out of the wrong size), FileError, Cancelled.
void bin_images(const io::Plane& plane, std::span<const MzWindow> windows, const BinOptions& options,
                std::span<float> out);

}  // namespace imn::images
