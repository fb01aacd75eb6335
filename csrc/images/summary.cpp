#include "images/summary.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"
#include "images/grouped_sum.h"
#include "images/moments.h"
#include "images/mz_window.h"
#include "images/peak_width.h"
#include "images/pixel_factors.h"
#include "images/sample_grid.h"

namespace imn::images {
namespace {

constexpr double kMostBins = 1 << 26;

double sum_of_spectrum(const io::Plane& plane, std::int64_t i, io::Spectrum& spectrum) {
  if (plane.spectra().mode() == io::Mode::continuous) {
    spectrum.intensity.resize(plane.spectra().shared_mz().size());
    plane.read_bins(i, 0, static_cast<std::int64_t>(spectrum.intensity.size()), spectrum.intensity.data());
  } else {
    plane.read(i, spectrum);
  }
  double total = 0.0;
  for (const double value : spectrum.intensity) total += value;
  return total;
}

// Four standard deviations of a centroid's position (nearly all of its values), or the spacing of a profile.
double width_of_bins(const io::Plane& plane, int threads, const std::atomic<bool>* cancel) {
  if (plane.file().spectrum_type() == io::SpectrumType::centroid) {
    return std::max(1.0, 4.0 * PeakWidth(plane, threads, cancel).typical_ppm());
  }
  const std::vector<double> grid = sample_grid(plane).mz;
  const bool spaced = grid.size() > 1 && grid.back() > grid.front();
  return spaced ? std::log(grid.back() / grid.front()) * 1e6 / static_cast<double>(grid.size() - 1) : 5.0;
}

MeanSpectrum mean_in_bins(const io::Plane& plane, std::optional<double> bin_width_ppm, int threads,
                          const std::atomic<bool>* cancel) {
  const std::pair<double, double> range_of_file = plane.mz_range();
  const double lowest = std::max(range_of_file.first, kLeastMz);
  const double highest = range_of_file.second;
  if (highest < lowest) return {};  // no values, or none of an ion
  const double ppm = bin_width_ppm ? *bin_width_ppm : width_of_bins(plane, threads, cancel);
  const double origin = std::log(lowest);
  const double width = ppm * 1e-6;
  const double needed = std::floor((std::log(highest) - origin) / width) + 1.0;
  if (needed > kMostBins) {
    throw ArgumentError("mean_spectrum: bins of " + std::to_string(ppm) +
                        " ppm are too narrow for the file's m/z range");
  }
  const auto bins = static_cast<std::size_t>(needed);
  std::vector<io::Spectrum> spectra(static_cast<std::size_t>(thread_count(threads)));
  const io::Shown& shown = plane.shown();
  const auto add = [&](std::int64_t pixel, int worker, double* sums) {
    io::Spectrum& spectrum = spectra[static_cast<std::size_t>(worker)];
    const double weight = shown.weight(pixel);
    for (const std::int64_t i : shown.of_pixel(pixel)) {
      plane.read(i, spectrum);
      for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
        if (spectrum.mz[p] < lowest) continue;
        const double position = std::clamp((std::log(spectrum.mz[p]) - origin) / width, 0.0, needed - 1.0);
        sums[static_cast<std::size_t>(position)] += weight * spectrum.intensity[p];
      }
    }
  };
  const std::vector<double> total = grouped_sum(shown.n_pixels(), bins, threads, cancel, add);
  MeanSpectrum mean;
  for (std::size_t b = 0; b < bins; ++b) {
    if (total[b] == 0.0) continue;
    mean.mz.push_back(std::exp(origin + (static_cast<double>(b) + 0.5) * width));
    mean.intensity.push_back(total[b] / static_cast<double>(shown.n_pixels()));
  }
  return mean;
}

}  // namespace

MeanSpectrum mean_spectrum(const io::Plane& plane, std::optional<double> bin_width_ppm, int threads,
                           const std::atomic<bool>* cancel) {
  if (bin_width_ppm && !(std::isfinite(*bin_width_ppm) && *bin_width_ppm > 0.0)) {
    throw ArgumentError("mean_spectrum: bin_width_ppm must be positive");
  }
  MeanSpectrum mean;
  if (plane.spectra().mode() == io::Mode::processed) {
    mean = mean_in_bins(plane, bin_width_ppm, threads, cancel);
  } else {
    Moments m = moments(plane, threads, cancel);
    mean = {std::move(m.mz), std::move(m.mean)};
  }
  plane.spectra().require_size();
  return mean;
}

void tic_image(const io::Plane& plane, float unmeasured, int threads, std::span<float> out,
               const std::atomic<bool>* cancel) {
  const auto pixels = plane.pixels();
  if (out.size() !=
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height)) {
    throw ArgumentError("tic_image: output has the wrong size");
  }
  std::fill(out.begin(), out.end(), unmeasured);
  const auto factors = plane.total_factors();
  const io::Shown& shown = plane.shown();
  std::vector<io::Spectrum> spectra(static_cast<std::size_t>(thread_count(threads)));
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    io::Spectrum& spectrum = spectra[static_cast<std::size_t>(worker)];
    for (auto p = begin; p < end; ++p) {
      const std::int64_t index = pixels[static_cast<std::size_t>(p)].index;
      double total = 0.0;
      for (const std::int64_t i : shown.of_pixel(p)) total += sum_of_spectrum(plane, i, spectrum);
      out[static_cast<std::size_t>(index)] = static_cast<float>(factor_at(factors, index) * total);
    }
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), 32, threads, body, cancel);
  plane.spectra().require_size();
}

}  // namespace imn::images
