#include "images/axis_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"
#include "images/mz_window.h"

namespace imn::images {
namespace {

constexpr std::size_t kStrongest = 20;  // maxima of the mean spectrum, or peaks of a spectrum
constexpr double kStrong = 0.1;         // of the strongest one; lower maxima may be noise
constexpr std::size_t kAround = 50;     // bins whose median is the level of a maximum
constexpr std::size_t kSpectra = 64;
constexpr double kCell = 2e-3;       // of ln(m/z), within which a peak returns
constexpr double kRecurring = 0.25;  // of the spectra
constexpr double kAboveEven = 3.0;   // times the number of peaks that evenly spread ones would have in a cell
constexpr double kMost = 0.5;
constexpr std::size_t kFewest = 3;  // maxima or peaks that say anything

bool in_a_window(const CandidateAxis& axis, double mz) {
  const auto above = std::upper_bound(axis.mz_lo.begin(), axis.mz_lo.end(), mz);
  return above != axis.mz_lo.begin() && mz <= axis.mz_hi[static_cast<std::size_t>(above - axis.mz_lo.begin()) - 1];
}

std::int64_t cell_of(double mz) { return static_cast<std::int64_t>(std::log(mz) / kCell); }

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// `strongest`: m/z of the strongest of those outside.
void tell(CandidateAxis& axis, std::size_t looked_at, std::size_t outside, double strongest, const std::string& what,
          const std::string& remedy) {
  if (looked_at < kFewest) return;
  const double share = static_cast<double>(outside) / static_cast<double>(looked_at);
  axis.evidence["strongest_looked_at"] = static_cast<double>(looked_at);
  axis.evidence["strongest_in_windows"] = 1.0 - share;
  if (share <= kMost) return;
  axis.notes.push_back(std::to_string(outside) + " of the " + std::to_string(looked_at) + " " + what +
                       " lie in no candidate window, the strongest at m/z " + number("%.4f", strongest) +
                       ", so that the candidates miss much of the signal; " + remedy);
}

}  // namespace

void check_strongest_bins(const std::vector<double>& mz, const std::vector<double>& mean, CandidateAxis& axis) {
  const std::size_t n = mean.size();
  if (axis.mz.empty() || n < 3) return;
  std::vector<double> level(n);
  std::vector<double> run;
  const std::size_t runs = std::max<std::size_t>(1, n / kAround);
  for (std::size_t r = 0; r < runs; ++r) {
    const auto first = static_cast<std::ptrdiff_t>(r * n / runs);
    const auto last = static_cast<std::ptrdiff_t>((r + 1) * n / runs);
    run.assign(mean.begin() + first, mean.begin() + last);
    const auto middle = run.begin() + static_cast<std::ptrdiff_t>(run.size() / 2);
    std::nth_element(run.begin(), middle, run.end());
    std::fill(level.begin() + first, level.begin() + last, *middle);
  }
  const auto height = [&](std::size_t b) { return mean[b] - level[b]; };
  std::vector<std::size_t> tops;
  for (std::size_t b = 1; b + 1 < n; ++b) {
    if (mean[b] >= mean[b - 1] && mean[b] > mean[b + 1] && height(b) > 0.0) tops.push_back(b);
  }
  const std::size_t most = std::min(kStrongest, tops.size());
  std::partial_sort(
      tops.begin(), tops.begin() + static_cast<std::ptrdiff_t>(most), tops.end(),
      [&](std::size_t a, std::size_t b) { return height(a) > height(b) || (height(a) == height(b) && a < b); });
  tops.resize(most);
  std::size_t looked_at = 0;
  std::size_t outside = 0;
  double strongest = 0.0;
  for (const std::size_t b : tops) {
    if (height(b) < kStrong * height(tops.front())) break;
    ++looked_at;
    if (in_a_window(axis, mz[b])) continue;
    if (outside++ == 0) strongest = mz[b];
  }
  tell(axis, looked_at, outside, strongest, "strongest maxima of the mean spectrum",
       "compare with every bin (--axis bins, Python: axis=\"bins\")");
}

void check_strongest_peaks(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis) {
  if (axis.mz.empty()) return;
  const auto shown = plane.shown().spectra();
  const std::size_t sampled = std::min(kSpectra, shown.size());
  struct Outside {
    std::int64_t cell;
    double mz, intensity;
  };
  std::vector<Outside> found;
  std::size_t looked_at = 0;
  double lowest = 0.0, highest = 0.0;
  io::Spectrum spectrum;
  std::vector<std::size_t> peaks;
  for (std::size_t s = 0; s < sampled; ++s) {
    throw_if_cancelled(options.cancel);
    plane.read(shown[s * shown.size() / sampled], spectrum);
    peaks.clear();
    for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
      if (spectrum.intensity[p] > 0.0 && spectrum.mz[p] >= kLeastMz) peaks.push_back(p);
    }
    if (peaks.empty()) continue;
    lowest = lowest == 0.0 ? spectrum.mz[peaks.front()] : std::min(lowest, spectrum.mz[peaks.front()]);
    highest = std::max(highest, spectrum.mz[peaks.back()]);
    // At most a tenth of a spectrum: most of the rest may be noise.
    const std::size_t n = std::min({kStrongest, (peaks.size() + 9) / 10, peaks.size()});
    std::partial_sort(peaks.begin(), peaks.begin() + static_cast<std::ptrdiff_t>(n), peaks.end(),
                      [&](std::size_t a, std::size_t b) { return spectrum.intensity[a] > spectrum.intensity[b]; });
    looked_at += n;
    for (std::size_t k = 0; k < n; ++k) {
      const double mz = spectrum.mz[peaks[k]];
      if (!in_a_window(axis, mz)) found.push_back({cell_of(mz), mz, spectrum.intensity[peaks[k]]});
    }
  }
  if (looked_at == 0) return;
  // Noise may be strong too, but lies anywhere; ions return, be it with an error of their m/z.
  std::sort(found.begin(), found.end(), [](const Outside& a, const Outside& b) { return a.cell < b.cell; });
  const auto cells = static_cast<double>(cell_of(highest) - cell_of(lowest) + 1);
  const double recurring =
      std::max(kRecurring * static_cast<double>(sampled), kAboveEven * static_cast<double>(found.size()) / cells);
  std::size_t outside = 0;
  double strongest = 0.0, most = 0.0;
  for (std::size_t from = 0, to = 0; from < found.size(); from = to) {
    while (to < found.size() && found[to].cell == found[from].cell) ++to;
    if (static_cast<double>(to - from) < recurring) continue;
    outside += to - from;
    for (std::size_t k = from; k < to; ++k) {
      if (found[k].intensity <= most) continue;
      most = found[k].intensity;
      strongest = found[k].mz;
    }
  }
  tell(axis, looked_at, outside, strongest, "strongest peaks of " + std::to_string(sampled) + " spectra",
       "allow rarer channels (Python: candidate_axis(min_frequency=...)) or give the m/z (--mz-list)");
}

}  // namespace imn::images
