#include "images/pixel_norms.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "core/parallel_for.h"
#include "images/pixel_factors.h"

namespace imn::images {
namespace {

// Reorders `values`.
double median_of_positive(std::vector<double>& values) {
  const auto end = std::partition(values.begin(), values.end(), [](double value) { return value > 0.0; });
  const auto n = end - values.begin();
  if (n == 0) return 0.0;
  const auto middle = values.begin() + n / 2;
  std::nth_element(values.begin(), middle, end);
  return n % 2 == 1 ? *middle : 0.5 * (*std::max_element(values.begin(), middle) + *middle);
}

double norm_of(std::vector<double>& values, Norm norm) {
  if (norm == Norm::median) return median_of_positive(values);
  double sum = 0.0;
  if (norm == Norm::tic) {
    for (const double value : values) sum += value;
    return sum;
  }
  for (const double value : values) sum += value * value;
  return values.empty() ? 0.0 : std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace

std::vector<double> pixel_norms(const io::Plane& plane, Norm norm, double lo, double hi, int threads,
                                const std::atomic<bool>* cancel) {
  const auto pixels = plane.pixels();
  const io::Shown& shown = plane.shown();
  const auto factors = plane.total_factors();
  const auto axis = plane.spectra().shared_mz();
  const auto first = std::lower_bound(axis.begin(), axis.end(), lo) - axis.begin();
  const auto last = std::max(first, std::upper_bound(axis.begin(), axis.end(), hi) - axis.begin());
  std::vector<double> norms(static_cast<std::size_t>(plane.geometry().n_pixels()));
  std::vector<io::Spectrum> spectra(static_cast<std::size_t>(thread_count(threads)));
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    io::Spectrum& spectrum = spectra[static_cast<std::size_t>(worker)];
    const auto norm_at = [&](std::int64_t i) {
      if (plane.spectra().mode() == io::Mode::continuous) {
        spectrum.intensity.resize(static_cast<std::size_t>(last - first));
        if (first < last) plane.read_bins(i, first, last, spectrum.intensity.data());
      } else {
        plane.read(i, lo, hi, spectrum);
      }
      return norm_of(spectrum.intensity, norm);
    };
    for (auto p = begin; p < end; ++p) {
      const std::int64_t index = pixels[static_cast<std::size_t>(p)].index;
      double total = 0.0;
      for (const std::int64_t i : shown.of_pixel(p)) total += norm_at(i);
      norms[static_cast<std::size_t>(index)] = factor_at(factors, index) * total;
    }
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), 32, threads, body, cancel);
  plane.spectra().require_size();
  return norms;
}

double median_norm(std::span<const double> norms) {
  std::vector<double> positive;
  for (const double norm : norms) {
    if (std::isfinite(norm) && norm > 0.0) positive.push_back(norm);
  }
  if (positive.empty()) return 0.0;
  const auto middle = positive.begin() + static_cast<std::ptrdiff_t>((positive.size() - 1) / 2);
  std::nth_element(positive.begin(), middle, positive.end());
  return *middle;
}

std::vector<double> normalization_factors(std::span<const double> norms) {
  const double median = median_norm(norms);
  std::vector<double> factors(norms.size());
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const double factor = median / norms[i];
    if (std::isfinite(norms[i]) && norms[i] > 0.0 && std::isfinite(factor)) factors[i] = factor;
  }
  return factors;
}

}  // namespace imn::images
