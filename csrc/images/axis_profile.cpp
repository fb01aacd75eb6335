// Axis of a profile file: local maxima of the mean spectrum, and of the root mean square for what is local.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "images/axis_kinds.h"
#include "images/moments.h"
#include "images/profile_peaks.h"

namespace imn::images {
namespace {

// White noise wanders over six to seven standard deviations between a maximum and the next minimum within 10^5 bins.
constexpr double kNoises = 8.0;
constexpr double kStandardErrors = 4.0;  // a maximum must exceed its own standard error over the pixels by this
constexpr double kFewestPixels = 3.0;    // that carry a channel which only the root mean square shows

// Pixels that carry the signal above the surroundings: (sum)^2 / (sum of squares), 1 for a spike in one spectrum.
double carrying_pixels(const Moments& m, const ProfilePeak& peak, double n) {
  const std::size_t below = peak.first > 0 ? peak.first - 1 : peak.first;
  const std::size_t above = std::min(peak.last + 1, m.mean.size() - 1);
  const double mean = m.mean[peak.apex] - 0.5 * (m.mean[below] + m.mean[above]);
  const double square =
      m.rms[peak.apex] * m.rms[peak.apex] - 0.5 * (m.rms[below] * m.rms[below] + m.rms[above] * m.rms[above]);
  return mean > 0.0 && square > 0.0 ? n * mean * mean / square : 0.0;
}

// Standard error of the mean at a bin. With few spectra the limit is eased, because no maximum could reach it.
bool exceeds_its_error(const Moments& m, const ProfilePeak& peak, double n) {
  const double mean = m.mean[peak.apex];
  const double variance = std::max(0.0, m.rms[peak.apex] * m.rms[peak.apex] - mean * mean);
  const double rise = mean - std::max(peak.left, peak.right);
  return rise >= std::min(kStandardErrors, 0.5 * std::sqrt(n)) * std::sqrt(variance / n);
}

double centroid(const std::vector<double>& mz, const std::vector<double>& curve, const ProfilePeak& peak) {
  const double base = std::min(peak.left, peak.right);
  const double half = base + 0.5 * (curve[peak.apex] - base);
  double weight = 0.0;
  double sum = 0.0;
  for (std::size_t b = peak.first; b <= peak.last; ++b) {
    const double above = curve[b] - half;
    if (above <= 0.0) continue;
    weight += above;
    sum += above * (mz[b] - mz[peak.apex]);
  }
  return weight > 0.0 ? mz[peak.apex] + sum / weight : mz[peak.apex];
}

}  // namespace

CandidateAxis axis_of_profile(const io::Dataset& dataset, const AxisOptions& options) {
  CandidateAxis axis;
  axis.method = "local maxima of the mean spectrum and of the root mean square over the spectra";
  const Moments m = moments(dataset, options.threads, options.cancel);
  const std::size_t bins = m.mean.size();
  if (bins == 0) return axis;
  const auto n = static_cast<double>(dataset.n_spectra());

  auto threshold = [](const std::vector<double>& curve) {
    std::vector<double> noise = running_noise(curve);
    for (double& level : noise) level *= kNoises;
    return noise;
  };
  struct Found {
    ProfilePeak peak;
    double mz;
  };
  std::vector<Found> found;
  std::vector<char> taken(bins, 0);
  const auto take = [&](const ProfilePeak& peak, const std::vector<double>& curve) {
    std::fill(taken.begin() + static_cast<std::ptrdiff_t>(peak.first),
              taken.begin() + static_cast<std::ptrdiff_t>(peak.last) + 1, char{1});
    found.push_back({peak, centroid(m.mz, curve, peak)});
  };
  for (const ProfilePeak& peak : profile_peaks(m.mean, threshold(m.mean))) {
    if (exceeds_its_error(m, peak, n)) take(peak, m.mean);
  }
  for (ProfilePeak peak : profile_peaks(m.rms, threshold(m.rms))) {
    if (taken[peak.apex] != 0 || carrying_pixels(m, peak, n) < std::min(kFewestPixels, n)) continue;
    std::size_t first = peak.apex;
    std::size_t last = peak.apex;
    while (first > peak.first && taken[first - 1] == 0) --first;
    while (last < peak.last && taken[last + 1] == 0) ++last;
    peak.first = first;
    peak.last = last;
    take(peak, m.rms);
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.peak.first < b.peak.first; });

  const std::vector<MzWindow> edges = bin_windows(m.mz);
  for (const auto& [peak, mz] : found) {
    axis.mz_lo.push_back(edges[peak.first].lo);
    axis.mz_hi.push_back(edges[peak.last].hi);
    axis.mz.push_back(std::clamp(mz, axis.mz_lo.back(), axis.mz_hi.back()));
  }
  fill_frequency(dataset, options, axis);
  return axis;
}

}  // namespace imn::images
