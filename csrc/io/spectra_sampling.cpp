// What a few spectra look like: see spectrum_kind.h.
#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "io/spectra.h"
#include "io/spread.h"

namespace imn::io {
namespace {

constexpr std::int64_t kSpectra = 16;
constexpr std::int64_t kStretch = 8192;  // values; two stretches of a longer spectrum are looked at
constexpr std::size_t kMaxima = 16;      // strongest ones of a spectrum
constexpr std::size_t kValuesEach = 8;   // a list of n values has at most n / 8 strong maxima
constexpr std::size_t kAround = 50;      // values over which the level around a maximum is taken
constexpr double kStrong = 0.02;         // of the strongest maximum
constexpr double kEqual = 0.8;           // ratio of two distances that count as equal
constexpr double kFlank = 0.2;           // of the maximum's height
constexpr std::size_t kManyMasses = 20;
constexpr double kIsotopeTolerance = 0.006;  // mass units

struct Counts {
  double steps = 0.0, regular_steps = 0.0;
  double maxima = 0.0, regular = 0.0, shaped = 0.0;  // regular and shaped: of the maxima not at isotope distances
  double isotopes = 0.0, regular_isotopes = 0.0, shaped_isotopes = 0.0;
  double correlated = 0.0, correlations = 0.0;

  Sampling shares() const {
    Sampling found;
    if (steps > 0.0) found.regular_steps = regular_steps / steps;
    if (correlations > 0.0) found.smoothness = correlated / correlations;
    if (maxima > 0.0) {
      found.isotope_spacing = isotopes / maxima;
      // Maxima at isotope distances are equally spaced without being sampled; they count only if most are.
      const bool mostly = found.isotope_spacing > kMostlyIsotopes;
      found.regular_maxima = (regular + (mostly ? regular_isotopes : 0.0)) / maxima;
      found.shaped_maxima = (shaped + (mostly ? shaped_isotopes : 0.0)) / maxima;
    }
    found.maxima = static_cast<std::int64_t>(maxima);
    return found;
  }
};

bool at_isotope_distance(double step) {
  for (const double charge : {1.0, 2.0, 3.0}) {
    // From bins of one mass unit to the distance of 13C.
    if (step * charge > 1.0 - kIsotopeTolerance && step * charge < 1.00336 + kIsotopeTolerance) return true;
  }
  return false;
}

// Levels around the values: the median of each run of kAround values.
std::vector<double> levels(const std::vector<double>& intensity) {
  std::vector<double> level(intensity.size());
  std::vector<double> run;
  const std::size_t runs = std::max<std::size_t>(1, intensity.size() / kAround);
  for (std::size_t r = 0; r < runs; ++r) {
    const std::size_t first = r * intensity.size() / runs;
    const std::size_t last = (r + 1) * intensity.size() / runs;
    run.assign(intensity.begin() + static_cast<std::ptrdiff_t>(first),
               intensity.begin() + static_cast<std::ptrdiff_t>(last));
    const auto middle = run.begin() + static_cast<std::ptrdiff_t>(run.size() / 2);
    std::nth_element(run.begin(), middle, run.end());
    std::fill(level.begin() + static_cast<std::ptrdiff_t>(first), level.begin() + static_cast<std::ptrdiff_t>(last),
              *middle);
  }
  return level;
}

void count_steps(const std::vector<double>& mz, Counts& counts) {
  for (std::size_t k = 2; k < mz.size(); ++k) {
    const double a = mz[k - 1] - mz[k - 2], b = mz[k] - mz[k - 1];
    if (!(a > 0.0 && b > 0.0)) continue;
    counts.steps += 1.0;
    if (std::min(a, b) > kEqual * std::max(a, b)) counts.regular_steps += 1.0;
  }
}

// Whether all m/z are whole numbers: masses that were rounded, or bins of one mass unit.
struct WholeNumbers {
  bool all = true;
  std::set<double> different;

  void look_at(const std::vector<double>& mz) {
    for (const double value : mz) {
      if (!all) return;
      all = value == std::round(value);
      if (different.size() < kManyMasses) different.insert(value);
    }
  }
};

void count_smoothness(const std::vector<double>& intensity, Counts& counts) {
  const auto n = static_cast<double>(intensity.size());
  double mean = 0.0;
  for (const double v : intensity) mean += v / n;
  double own = 0.0, next = 0.0;
  for (std::size_t k = 0; k < intensity.size(); ++k) {
    own += (intensity[k] - mean) * (intensity[k] - mean);
    if (k > 0) next += (intensity[k] - mean) * (intensity[k - 1] - mean);
  }
  // Rounding errors around a constant are not a shape.
  if (!(own > 1e-12 * mean * mean * n) || !std::isfinite(own)) return;
  counts.correlations += 1.0;  // each spectrum has the same weight, however bright it is
  counts.correlated += next / own;
}

void count_maxima(const std::vector<double>& mz, const std::vector<double>& intensity, Counts& counts) {
  if (mz.size() < 5) return;
  const std::vector<double> level = levels(intensity);
  const auto height = [&](std::size_t k) { return intensity[k] - level[k]; };
  std::vector<std::size_t> tops;
  for (std::size_t k = 1; k + 1 < intensity.size(); ++k) {
    if (intensity[k] >= intensity[k - 1] && intensity[k] > intensity[k + 1] && height(k) > 0.0) tops.push_back(k);
  }
  if (tops.empty()) return;
  const std::size_t most = std::min({kMaxima, std::max<std::size_t>(1, mz.size() / kValuesEach), tops.size()});
  std::partial_sort(
      tops.begin(), tops.begin() + static_cast<std::ptrdiff_t>(most), tops.end(),
      [&](std::size_t a, std::size_t b) { return height(a) > height(b) || (height(a) == height(b) && a < b); });
  tops.resize(most);
  const double least = kStrong * height(tops.front());
  for (const std::size_t k : tops) {
    const double left = mz[k] - mz[k - 1], right = mz[k + 1] - mz[k];
    if (height(k) < least || !(left > 0.0 && right > 0.0)) continue;
    counts.maxima += 1.0;
    const bool isotope = at_isotope_distance(0.5 * (left + right));
    if (isotope) counts.isotopes += 1.0;
    if (std::min(left, right) <= kEqual * std::max(left, right)) continue;
    (isotope ? counts.regular_isotopes : counts.regular) += 1.0;
    const double flank = std::min(intensity[k - 1], intensity[k + 1]) - level[k];
    if (flank > kFlank * height(k)) (isotope ? counts.shaped_isotopes : counts.shaped) += 1.0;
  }
}

}  // namespace

Sampling Spectra::sampling(std::span<const std::int64_t> of) const {
  Counts counts, of_mean;
  WholeNumbers whole;
  std::vector<double> mz, intensity;
  Spectrum spectrum;
  std::vector<std::vector<double>> axis(2), mean(2);  // of a continuous file, for each stretch
  const bool continuous = mode() == Mode::continuous;
  std::int64_t looked_at = 0, longest = 0;
  const std::int64_t n = of.empty() ? size_ : static_cast<std::int64_t>(of.size());
  const std::int64_t candidates = n < 2 * kSpectra ? n : kSpectra;
  for (std::int64_t c = 0; c < candidates && looked_at < kSpectra; ++c) {
    const std::int64_t i = spread(c, candidates, n);
    const std::int64_t s = of.empty() ? i : of[static_cast<std::size_t>(i)];
    const std::int64_t values =
        source_ ? source_->length(s) : std::min(layout_.mz.length(s), layout_.intensity.length(s));
    if (values < 3) continue;
    ++looked_at;
    longest = std::max(longest, values);
    const bool all = values <= 2 * kStretch;
    for (std::size_t part = 0; part < (all ? 1u : 2u); ++part) {
      const std::int64_t length = all ? values : kStretch;
      const std::int64_t first = all ? 0 : (values * (part == 0 ? 1 : 3) / 4 - kStretch / 2);
      mz.resize(static_cast<std::size_t>(length));
      intensity.resize(mz.size());
      try {
        if (source_) {
          source_->read(s, spectrum);
          std::copy_n(spectrum.mz.begin() + first, length, mz.begin());
          std::copy_n(spectrum.intensity.begin() + first, length, intensity.begin());
        } else {
          read_values(layout_.mz[s], first, first + length, mz.data());
          read_values(layout_.intensity[s], first, first + length, intensity.data());
        }
      } catch (const ArrayError&) {
        continue;  // reading the spectrum will report it
      }
      zero_non_finite(intensity);
      whole.look_at(mz);
      count_steps(mz, counts);
      count_smoothness(intensity, counts);
      count_maxima(mz, intensity, counts);
      if (!continuous) continue;
      axis[part] = mz;
      mean[part].resize(mz.size());
      for (std::size_t k = 0; k < mz.size(); ++k) mean[part][k] += intensity[k];
    }
  }
  for (std::size_t part = 0; part < mean.size() && looked_at > 1; ++part) {
    if (mean[part].empty()) continue;
    // The shapes of weak peaks only show in a mean over spectra.
    count_smoothness(mean[part], of_mean);
    count_maxima(axis[part], mean[part], of_mean);
  }
  Sampling found = counts.shares();
  const Sampling together = of_mean.shares();
  found.values = longest;
  found.whole_numbers = whole.all && whole.different.size() >= kManyMasses;
  if (together.shaped_maxima > found.shaped_maxima) {
    found.shaped_maxima = together.shaped_maxima;
    found.regular_maxima = std::max(found.regular_maxima, together.regular_maxima);
  }
  found.smoothness = std::max(found.smoothness, together.smoothness);
  return found;
}

}  // namespace imn::io
