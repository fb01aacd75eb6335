// Axis of a profile file: peaks of the mean spectrum, and of the upper spectrum for signals of few pixels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "images/axis_check.h"
#include "images/axis_kinds.h"
#include "images/moments.h"
#include "images/profile_peaks.h"
#include "images/profile_width.h"
#include "images/upper_median.h"

namespace imn::images {
namespace {

constexpr double kApart = 0.75;  // widths; a nearer peak of the upper spectrum is that of the mean
// Below, a peak stands on so few pixels that it is a spike and no image; in a file of a few pixels, a quarter of them.
constexpr double kFewestPixels = 3.0;
constexpr double kFewestShare = 0.25;
constexpr double kNarrowest = 1.5;  // bins per width
constexpr std::size_t kSegment = 512;
constexpr double kFewestCarrying = 0.1;
constexpr std::size_t kFewestCutOff = 3;  // bins of a top
constexpr double kSkewOfMaximum = 2.5;    // of the largest of many values: 1.14 (Gumbel), and more for its kurtosis

ProfileBins bins_of(const std::vector<double>& mz, const WidthLaw& law) {
  const std::size_t n = mz.size();
  ProfileBins bins{mz, std::vector<double>(n), std::vector<double>(n)};
  for (std::size_t b = 0; b < n; ++b) {
    double step = std::numeric_limits<double>::infinity();
    if (b > 0 && mz[b] > mz[b - 1]) step = mz[b] - mz[b - 1];
    if (b + 1 < n && mz[b + 1] > mz[b]) step = std::min(step, mz[b + 1] - mz[b]);
    if (!std::isfinite(step)) step = std::max(mz[b] * 1e-5, std::numeric_limits<double>::min());
    bins.step[b] = step;
    bins.width[b] = std::max(law.at(mz[b]), kNarrowest * step);
  }
  return bins;
}

// Effective number of spectra that carry a signal: (sum)^2 / (sum of squares) of what rises above the baseline, which
// is 1 for a spike in one spectrum. The baseline has a variance of its own.
class CarryingSpectra {
 public:
  CarryingSpectra(const Moments& m, const ProfileBins& bins, std::int64_t n, const AxisOptions& options)
      : n_(static_cast<double>(n)), mean_(above_baseline(bins, m.mean, options)) {
    std::vector<double> variance(m.mean.size());
    for (std::size_t b = 0; b < variance.size(); ++b) {
      variance[b] = std::max(0.0, m.rms[b] * m.rms[b] - m.mean[b] * m.mean[b]);
    }
    variance_ = above_baseline(bins, variance, options);
  }

  bool are_few(const ProfilePeak& peak) const {
    const double square = mean_[peak.apex] * mean_[peak.apex];
    if (!(square > 0.0)) return true;
    const double carrying = n_ * square / (square + variance_[peak.apex]);
    return carrying < std::min(kFewestPixels, std::max(1.0, kFewestShare * n_)) * (1.0 - 1e-9);
  }

 private:
  static std::vector<double> above_baseline(const ProfileBins& bins, const std::vector<double>& curve,
                                            const AxisOptions& options) {
    std::vector<double> above = snip_baseline(bins, curve, options.threads, options.cancel);
    for (std::size_t b = 0; b < above.size(); ++b) above[b] = curve[b] - above[b];
    return above;
  }

  double n_;
  std::vector<double> mean_;
  std::vector<double> variance_;
};

// Skewness of the mean's noise. Where most values of a spectrum are 0, few spectra make up the mean of a bin: their
// number is the lower part of the effective numbers nearby.
std::vector<double> skewness_of_mean(const Moments& m, std::int64_t n) {
  const std::size_t bins = m.mean.size();
  std::vector<double> skewness(bins);
  std::vector<double> carrying;
  for (std::size_t begin = 0; begin < bins; begin += kSegment) {
    const std::size_t end = std::min(bins, begin + kSegment);
    carrying.clear();
    for (std::size_t b = begin; b < end; ++b) {
      const double square = m.rms[b] * m.rms[b];
      carrying.push_back(square > 0.0 ? static_cast<double>(n) * m.mean[b] * m.mean[b] / square : 0.0);
    }
    std::sort(carrying.begin(), carrying.end());
    const auto kept = std::max<std::size_t>(1, carrying.size() * 4 / 5);
    double sum = 0.0;
    for (std::size_t b = 0; b < kept; ++b) sum += carrying[b];
    const double spectra = std::max(kFewestCarrying, sum / static_cast<double>(kept));
    std::fill(skewness.begin() + static_cast<std::ptrdiff_t>(begin),
              skewness.begin() + static_cast<std::ptrdiff_t>(end), 1.0 / std::sqrt(spectra));
  }
  return skewness;
}

// Runs of bins, three or more, at which some spectrum of every group has the largest value of the file: the top of a
// peak that the detector cut off. Its two shoulders are no ions.
std::vector<std::pair<std::size_t, std::size_t>> cut_off_tops(const Moments& m) {
  std::vector<std::pair<std::size_t, std::size_t>> tops;
  const double limit = *std::max_element(m.upper.begin(), m.upper.end());
  for (std::size_t b = 0; b < m.upper.size() && limit > 0.0;) {
    std::size_t end = b;
    while (end < m.upper.size() && m.upper[end] >= limit * (1.0 - 1e-9)) ++end;
    if (end - b >= kFewestCutOff) tops.emplace_back(b, end - 1);
    b = std::max(end, b + 1);
  }
  return tops;
}

// Joins the peaks, in ascending order, whose apexes lie on one top that is cut off, or within half a width of it.
void join_cut_off(const Moments& m, const ProfileBins& bins, std::vector<ProfilePeak>& peaks) {
  for (const auto& [first, last] : cut_off_tops(m)) {
    const double low = m.mz[first] - 0.5 * bins.width[first];
    const double high = m.mz[last] + 0.5 * bins.width[last];
    const auto begin = std::find_if(peaks.begin(), peaks.end(), [&](const ProfilePeak& p) { return p.mz >= low; });
    const auto end = std::find_if(begin, peaks.end(), [&](const ProfilePeak& p) { return p.mz > high; });
    if (end - begin < 2) continue;
    begin->last = std::prev(end)->last;
    begin->apex = (first + last) / 2;
    begin->mz = 0.5 * (m.mz[first] + m.mz[last]);
    for (auto other = std::next(begin); other != end; ++other) begin->height = std::max(begin->height, other->height);
    peaks.erase(std::next(begin), end);
  }
}

void describe_width(const ProfileBins& bins, const WidthLaw& law, CandidateAxis& axis) {
  const double middle = bins.mz[bins.mz.size() / 2];
  axis.evidence["peak_width_at_mz"] = middle;
  axis.evidence["peak_width"] = law.at(middle);
  axis.evidence["peak_width_power"] = law.power;
  axis.evidence["peak_width_peaks"] = static_cast<double>(law.peaks);
  axis.evidence["resolving_power"] = middle / law.at(middle);
}

}  // namespace

CandidateAxis axis_of_profile(const io::Plane& plane, const AxisOptions& options) {
  CandidateAxis axis;
  axis.method = "peaks of the mean spectrum and of the upper spectrum by signal to noise";
  const Moments m = moments(plane, options.threads, options.cancel, Upper::with);
  if (m.mean.empty()) return axis;
  WidthLaw law = learn_width(m.mz, m.mean);
  if (law.peaks == 0) law = learn_width(m.mz, m.upper);
  const ProfileBins bins = bins_of(m.mz, law);
  describe_width(bins, law, axis);

  const std::int64_t n = plane.shown().n_pixels();
  const CarryingSpectra carrying(m, bins, n, options);
  const auto is_spike = [&](const ProfilePeak& peak) { return carrying.are_few(peak); };
  std::vector<ProfilePeak> found =
      profile_peaks(bins, {m.mean, skewness_of_mean(m, n)}, options.threads, options.cancel);
  std::erase_if(found, is_spike);
  join_cut_off(m, bins, found);
  axis.evidence["peaks_of_mean"] = static_cast<double>(found.size());
  std::vector<char> taken(m.mz.size(), 0);
  std::vector<double> apexes;
  for (const ProfilePeak& peak : found) {
    std::fill(taken.begin() + static_cast<std::ptrdiff_t>(peak.first),
              taken.begin() + static_cast<std::ptrdiff_t>(peak.last) + 1, char{1});
    apexes.push_back(m.mz[peak.apex]);
  }
  const NoisyCurve upper{
      m.upper, std::vector<double>(m.upper.size(), kSkewOfMaximum / std::sqrt(static_cast<double>(m.groups)))};
  std::vector<ProfilePeak> of_upper = profile_peaks(bins, upper, options.threads, options.cancel);
  join_cut_off(m, bins, of_upper);
  for (ProfilePeak peak : of_upper) {
    if (taken[peak.apex] != 0 || is_spike(peak)) continue;
    const double at = m.mz[peak.apex];
    const auto next = std::lower_bound(apexes.begin(), apexes.end(), at);
    const double apart = kApart * bins.width[peak.apex];
    if (next != apexes.end() && *next - at < apart) continue;
    if (next != apexes.begin() && at - *std::prev(next) < apart) continue;
    std::size_t first = peak.apex;
    std::size_t last = peak.apex;
    while (first > peak.first && taken[first - 1] == 0) --first;
    while (last < peak.last && taken[last + 1] == 0) ++last;
    peak.first = first;
    peak.last = last;
    found.push_back(peak);
  }
  axis.evidence["peaks_of_few_spectra"] = static_cast<double>(found.size() - apexes.size());
  std::sort(found.begin(), found.end(), [](const ProfilePeak& a, const ProfilePeak& b) { return a.first < b.first; });

  const std::vector<MzWindow> edges = bin_windows(m.mz);
  std::vector<double> widths;
  for (const ProfilePeak& peak : found) {
    axis.mz_lo.push_back(edges[peak.first].lo);
    axis.mz_hi.push_back(edges[peak.last].hi);
    axis.mz.push_back(std::clamp(peak.mz, axis.mz_lo.back(), axis.mz_hi.back()));
    widths.push_back((axis.mz_hi.back() - axis.mz_lo.back()) / bins.width[peak.apex]);
  }
  check_strongest_bins(m.mz, m.mean, axis);
  if (!widths.empty()) axis.evidence["median_window_in_peak_widths"] = upper_median(widths);
  fill_frequency(plane, options, axis);
  return axis;
}

}  // namespace imn::images
