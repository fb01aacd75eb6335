#include "images/profile_peaks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <iterator>
#include <numbers>
#include <set>

#include "images/profile_width.h"

namespace imn::images {
namespace {

constexpr std::array kKernels{0.5, 0.8, 1.25};  // in standard deviations of a peak; overlapping peaks first
constexpr double kFalse = 0.02;  // maxima of noise to be expected above the least signal to noise, per curve and scale
constexpr double kSkewOfKernel =
    0.42;                       // of a fit's amplitude, relative to one sample, if its kernel is one sample wide
constexpr double kApart = 0.6;  // widths; nearer maxima are one peak
constexpr double kDip = 0.25;   // share of the lower of two maxima by which the amplitude falls between them
constexpr double kDipNoises = 2.0;
constexpr double kHiddenSnr = 7.0;     // of a peak on a flank
constexpr double kHiddenShare = 0.1;   // of the highest amplitude near it: tails are not straight either
constexpr double kHiddenNear = 2.0;    // widths within which that amplitude counts
constexpr double kHiddenWidths = 1.8;  // farthest from the higher peak
// Four tenths of the height are 1.15 widths of a normal peak apart: 82 % of its area, and the window with the best
// signal to noise. Further out, noise, baseline, tails and neighbours outweigh the peak.
constexpr double kFoot = 0.4;
constexpr double kSide = 1.25;  // widths from the apex to the farthest end of a window

// Signal to noise that normal noise exceeds kFalse times among two independent values per width.
double least_snr(const ProfileBins& bins) {
  double values = 0.0;
  for (std::size_t b = 0; b < bins.mz.size(); ++b) values += 2.0 * std::min(1.0, bins.step[b] / bins.width[b]);
  double z = 4.0;
  for (int round = 0; round < 8; ++round) {
    z = std::sqrt(std::max(1.0, 2.0 * std::log(values / (kFalse * z * std::sqrt(2.0 * std::numbers::pi)))));
  }
  return z;
}

// Maxima of at least `least` times the noise; of two without a clear dip between them, the higher one.
std::vector<std::size_t> separate_maxima(const std::vector<double>& amplitude, const std::vector<double>& noise,
                                         const std::vector<double>& least) {
  const std::size_t n = amplitude.size();
  std::vector<std::size_t> kept;
  double dip = 0.0;  // lowest amplitude since the last maximum
  for (std::size_t b = 0; b < n; ++b) {
    const double y = amplitude[b];
    dip = std::min(dip, y);
    const bool top = (b == 0 || y > amplitude[b - 1]) && (b + 1 == n || y >= amplitude[b + 1]);
    if (!top || !(y > 0.0) || !(y >= least[b] * noise[b])) continue;
    if (!kept.empty()) {
      const double before = amplitude[kept.back()];
      const double lower = std::min(before, y);
      if (lower - dip < std::max(kDip * lower, kDipNoises * noise[b])) {
        if (y > before) {
          kept.back() = b;
          dip = y;
        }
        continue;
      }
    }
    kept.push_back(b);
    dip = y;
  }
  return kept;
}

// Largest value within `widths` of every bin.
std::vector<double> running_maximum(const ProfileBins& bins, const std::vector<double>& values, double widths) {
  const std::size_t n = values.size();
  std::vector<double> largest(n);
  std::deque<std::size_t> falling;  // bins whose values fall; the first is the largest of the stretch
  std::size_t next = 0;
  for (std::size_t b = 0; b < n; ++b) {
    const double side = widths * bins.width[b];
    for (; next < n && bins.mz[next] <= bins.mz[b] + side; ++next) {
      while (!falling.empty() && values[falling.back()] <= values[next]) falling.pop_back();
      falling.push_back(next);
    }
    while (bins.mz[falling.front()] < bins.mz[b] - side) falling.pop_front();
    largest[b] = values[falling.front()];
  }
  return largest;
}

// Distance to the nearest of the bins `among`, in widths; infinite if there is none.
double nearest(const ProfileBins& bins, const std::set<std::size_t>& among, std::size_t bin) {
  double distance = INFINITY;
  const auto above = among.lower_bound(bin);
  if (above != among.end()) distance = bins.mz[*above] - bins.mz[bin];
  if (above != among.begin()) distance = std::min(distance, bins.mz[bin] - bins.mz[*std::prev(above)]);
  return distance / bins.width[bin];
}

// m/z of the parabola through a maximum and its two neighbours.
double vertex(const ProfileBins& bins, const std::vector<double>& curve, std::size_t apex) {
  const double at = bins.mz[apex];
  if (apex == 0 || apex + 1 == curve.size()) return at;
  const double left = bins.mz[apex - 1] - at;
  const double right = bins.mz[apex + 1] - at;
  const double down = curve[apex - 1] - curve[apex];
  const double up = curve[apex + 1] - curve[apex];
  const double bend = left * up - right * down;
  const double offset = bend != 0.0 ? 0.5 * (left * left * up - right * right * down) / bend : 0.0;
  return at + std::clamp(offset, 0.5 * left, 0.5 * right);
}

// The last bin of the lower of two neighbouring peaks: the valley, or between shoulders where they bend.
std::size_t border(const LocalFits& fits, std::size_t left, std::size_t right) {
  const auto lowest = [&](const std::vector<double>& curve) {
    const auto begin = curve.begin() + static_cast<std::ptrdiff_t>(left);
    return left + static_cast<std::size_t>(
                      std::min_element(begin, curve.begin() + static_cast<std::ptrdiff_t>(right) + 1) - begin);
  };
  const std::size_t valley = lowest(fits.smooth);
  return valley != left && valley != right ? valley : lowest(fits.amplitude);
}

}  // namespace

std::vector<ProfilePeak> profile_peaks(const ProfileBins& bins, const NoisyCurve& curve, int threads,
                                       const std::atomic<bool>* cancel) {
  const std::size_t n = curve.values.size();
  if (n == 0) return {};
  const double normal = least_snr(bins);
  std::vector<double> least(n);
  std::set<std::size_t> apexes;
  std::array<LocalFits, kKernels.size()> fits;
  std::array<std::vector<double>, kKernels.size()> noise;
  for (std::size_t k = 0; k < kKernels.size(); ++k) {
    fits[k] = local_fits(bins, curve.values, kKernels[k], threads, cancel);
    noise[k] = noise_of_amplitude(bins, fits[k]);
    for (std::size_t b = 0; b < n; ++b) {  // Cornish and Fisher 1938
      const double samples = kKernels[k] * bins.width[b] / (kFwhmSigmas * bins.step[b]);
      const double skewness = kSkewOfKernel * curve.skewness[b] / std::sqrt(std::max(1.0, samples));
      least[b] = normal + skewness * (normal * normal - 1.0) / 6.0;
    }
    for (const std::size_t apex : separate_maxima(fits[k].amplitude, noise[k], least)) {
      if (nearest(bins, apexes, apex) > kApart) apexes.insert(apex);
    }
  }
  const LocalFits& narrow = fits.front();
  const std::vector<double> base = snip_baseline(bins, narrow.smooth, threads, cancel);

  // On the flank of a higher peak, the curvature of a lower one may be negative, but it still has a maximum.
  const std::set<std::size_t> sure = apexes;
  for (std::size_t k = 0; k + 1 < kKernels.size(); ++k) {
    std::vector<double> rise = running_maximum(bins, fits[k].amplitude, kHiddenNear);
    for (std::size_t b = 0; b < n; ++b) rise[b] = std::max(kHiddenSnr * noise[k][b], kHiddenShare * rise[b]);
    for (const auto& [apex, valley] : settled_maxima(fits[k].amplitude, rise)) {
      const double distance = nearest(bins, sure, apex);
      const double of_height = noise[k][apex] * fits[k].smooth_gain[apex] / fits[k].amplitude_gain[apex];
      if (distance < kHiddenWidths && nearest(bins, apexes, apex) > kApart &&
          fits[k].smooth[apex] - base[apex] >= kHiddenSnr * of_height) {
        apexes.insert(apex);
      }
    }
  }

  std::vector<ProfilePeak> peaks;
  std::size_t begin = 0;
  for (auto at = apexes.begin(); at != apexes.end(); ++at) {
    const std::size_t apex = *at;
    const auto next = std::next(at);
    const std::size_t end = next == apexes.end() ? n - 1 : border(narrow, apex, *next);
    const double height = narrow.smooth[apex] - base[apex];
    const double side = kSide * bins.width[apex];
    const auto inside = [&](std::size_t b) {
      return narrow.smooth[b] - base[b] > kFoot * height && std::abs(bins.mz[b] - bins.mz[apex]) <= side;
    };
    ProfilePeak peak{apex, apex, apex, vertex(bins, narrow.amplitude, apex), height};
    while (peak.first > begin && inside(peak.first - 1)) --peak.first;
    while (peak.last < end && inside(peak.last + 1)) ++peak.last;
    peaks.push_back(peak);
    begin = std::max(end, apex) + 1;
  }
  return peaks;
}

}  // namespace imn::images
