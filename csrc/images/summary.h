// Summaries over all spectra shown in one pass: mean spectrum and TIC image.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "io/plane.h"

namespace imn::images {

struct MeanSpectrum {
  std::vector<double> mz;
  std::vector<double> intensity;  // mean over the measured pixels, of what each shows
};

// Continuous: on the shared axis. Processed: in bins of equal width in ln(m/z), without the empty bins.
// `bin_width_ppm` is the whole width in ppm; nullopt: chosen from the data.
MeanSpectrum mean_spectrum(const io::Plane& plane, std::optional<double> bin_width_ppm, int threads,
                           const std::atomic<bool>* cancel = nullptr);

// out (height*width): sum of all intensities of what a pixel shows, times its total factor; `unmeasured` elsewhere.
void tic_image(const io::Plane& plane, float unmeasured, int threads, std::span<float> out,
               const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::images
