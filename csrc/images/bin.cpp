#include "images/bin.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "images/bin_cpu.h"

namespace imn::images {

void check_windows(std::span<const MzWindow> windows) {
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const auto [lo, hi] = windows[w];
    if (!std::isfinite(lo) || !std::isfinite(hi)) {
      throw ArgumentError("m/z window " + std::to_string(w) + ": bounds must be finite");
    }
    if (lo > hi) {
      throw ArgumentError("m/z window " + std::to_string(w) + ": lower bound " + std::to_string(lo) +
                          " is above the upper bound " + std::to_string(hi));
    }
  }
}

void bin_images(const io::Plane& plane, std::span<const MzWindow> windows, const BinOptions& options,
                std::span<float> out) {
  check_windows(windows);
  const std::size_t pixels =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  if (out.size() != windows.size() * pixels) {
    throw ArgumentError("bin_images: the output has " + std::to_string(out.size()) + " values; " +
                        std::to_string(windows.size()) + " windows of " + std::to_string(pixels) + " pixels need " +
                        std::to_string(windows.size() * pixels));
  }
  if (windows.empty() || pixels == 0) return;
  bin_images_cpu(plane, windows, options, out);
  plane.spectra().require_size();
}

}  // namespace imn::images
