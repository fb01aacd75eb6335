// Axis of a profile file: local maxima of the mean spectrum, and of the root mean square for signals of small regions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "images/axis_check.h"
#include "images/axis_kinds.h"
#include "images/moments.h"
#include "images/profile_peaks.h"

namespace imn::images {
namespace {

// White noise wanders over six to seven standard deviations between a maximum and the next minimum within 10^5 bins.
constexpr double kNoises = 8.0;
constexpr double kStandardErrors = 4.0;   // a maximum must exceed its own standard error over the pixels by this
constexpr std::size_t kWidths = 8;        // at half height: a signal further from the apex is a different one
constexpr double kSpectraForErrors = 64;  // from this number on, the standard errors are precise enough
constexpr double kFewestPixels = 3.0;     // required for a channel that only the root mean square shows

// Returns the effective number of pixels with signal above the surroundings: (sum)^2 / (sum of squares), which is 1 for
// a spike in one spectrum.
double carrying_pixels(const Moments& m, const ProfilePeak& peak, double n) {
  const std::size_t below = peak.first > 0 ? peak.first - 1 : peak.first;
  const std::size_t above = std::min(peak.last + 1, m.mean.size() - 1);
  const double mean = m.mean[peak.apex] - 0.5 * (m.mean[below] + m.mean[above]);
  const double square =
      m.rms[peak.apex] * m.rms[peak.apex] - 0.5 * (m.rms[below] * m.rms[below] + m.rms[above] * m.rms[above]);
  return mean > 0.0 && square > 0.0 ? n * mean * mean / square : 0.0;
}

// Returns the standard error, over the spectra, of the mean at a bin.
double standard_error(const Moments& m, std::size_t bin, double n) {
  const double variance = std::max(0.0, m.rms[bin] * m.rms[bin] - m.mean[bin] * m.mean[bin]);
  return std::sqrt(variance / n);
}

// The limit is lower for few spectra, because no maximum could reach it.
bool exceeds_its_error(const Moments& m, const ProfilePeak& peak, double n) {
  const double rise = m.mean[peak.apex] - std::max(peak.left, peak.right);
  return rise >= std::min(kStandardErrors, 0.5 * std::sqrt(n)) * standard_error(m, peak.apex, n);
}

// Returns the maximum number of bins from a peak's apex to the end of its window. Without it, a window would extend to
// the next peak wherever no signal separates the peak from its surroundings (the edge of the range, or a gap in a file
// that omits zeros). Measured at half height, where peaks are narrow regardless of their baseline.
std::size_t widest_side(const std::vector<ProfilePeak>& peaks, const std::vector<double>& curve) {
  if (peaks.empty()) return curve.size();
  std::vector<std::size_t> widths;
  for (const ProfilePeak& peak : peaks) {
    const double base = std::max(peak.left, peak.right);
    const double half = base + 0.5 * (curve[peak.apex] - base);
    std::size_t first = peak.apex;
    std::size_t last = peak.apex;
    while (first > peak.first && curve[first - 1] > half) --first;
    while (last < peak.last && curve[last + 1] > half) ++last;
    widths.push_back(last - first + 1);
  }
  const auto middle = widths.begin() + static_cast<std::ptrdiff_t>(widths.size() / 2);
  std::nth_element(widths.begin(), middle, widths.end());
  return kWidths * *middle;
}

ProfilePeak narrowed(ProfilePeak peak, std::size_t side) {
  peak.first = std::max(peak.first, peak.apex > side ? peak.apex - side : 0);
  peak.last = std::min(peak.last, peak.apex + side);
  return peak;
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

CandidateAxis axis_of_profile(const io::Plane& plane, const AxisOptions& options) {
  CandidateAxis axis;
  axis.method = "local maxima of the mean spectrum and of the root mean square over the spectra";
  const Moments m = moments(plane, options.threads, options.cancel);
  const std::size_t bins = m.mean.size();
  if (bins == 0) return axis;
  const auto n = static_cast<double>(plane.shown().n_pixels());

  auto threshold = [](const std::vector<double>& curve) {
    std::vector<double> noise = running_noise(curve);
    for (double& level : noise) level *= kNoises;
    return noise;
  };
  std::vector<double> of_mean_threshold = threshold(m.mean);
  if (n >= kSpectraForErrors) {  // the standard errors are then a better guide than the noise of the differences
    const std::vector<char> no_floor = without_floor(m.mean);
    for (std::size_t b = 0; b < bins; ++b) {
      if (no_floor[b] != 0)
        of_mean_threshold[b] = std::min(of_mean_threshold[b], kStandardErrors * standard_error(m, b, n));
    }
  }
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
  std::vector<ProfilePeak> of_mean = profile_peaks(m.mean, of_mean_threshold);
  std::erase_if(of_mean, [&](const ProfilePeak& peak) { return !exceeds_its_error(m, peak, n); });
  const std::size_t side = widest_side(of_mean, m.mean);
  for (const ProfilePeak& peak : of_mean) take(narrowed(peak, side), m.mean);
  for (ProfilePeak peak : profile_peaks(m.rms, threshold(m.rms))) {
    peak = narrowed(peak, side);
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
  check_strongest_bins(m.mz, m.mean, axis);
  fill_frequency(plane, options, axis);
  return axis;
}

}  // namespace imn::images
