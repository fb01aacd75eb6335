#include "images/peak_width.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/parallel_for.h"
#include "images/mz_window.h"

namespace imn::images {
namespace {

constexpr std::int64_t kSampled = 256;  // spectra, spread evenly over those shown
constexpr std::int64_t kPartners = 8;   // other spectra with which each is compared
constexpr double kResolution = 0.05;    // ppm; bin width of the difference histogram
constexpr double kFarthest = 1000.0;    // ppm; largest difference counted
constexpr std::size_t kBins = static_cast<std::size_t>(kFarthest / kResolution);
constexpr std::size_t kNeighbours = 25;                     // channels per median
constexpr double kEnough = 20.0;                            // minimum number of pairs above the even part
constexpr std::int64_t kMostPeaks = std::int64_t{1} << 23;  // of all sampled spectra: 64 MiB
constexpr std::int64_t kFewestSampled = 8;
constexpr std::size_t kMostPairs = std::size_t{1} << 18;  // of two spectra; a hundred times the number for centroids
// Of the pairs within two standard deviations: more lie further out if a wider peak surrounds these.
constexpr double kFarShare = 1.5;  // allows for some nearby ions
constexpr double kFarShareOfNearest = 2.5;
constexpr double kCrowded = 6.0;  // standard deviations
constexpr double kFewPairs = 4000.0;
constexpr double kShareOfFew = 0.2;
constexpr double kShareOfNearest = 0.25;
constexpr double kSomeClose = 0.05;
constexpr double kFewClose = 4.0;  // peaks of a spectrum close to one that are ions, not noise
constexpr double kNarrower = 0.6;  // ratio of two estimates that shows close ions
constexpr double kLeast = 0.25;    // ppm; float32 m/z values alone scatter by up to 0.1

using Differences = std::vector<std::uint64_t>;

// Returns the number of spectra to sample, fewer if they are long (a profile file declared as centroid).
std::int64_t sample_size(const io::Plane& plane) {
  const auto shown = plane.shown().spectra();
  const auto n = static_cast<std::int64_t>(shown.size());
  const std::int64_t sampled = std::min(n, kSampled);
  std::int64_t peaks = 0;
  for (std::int64_t s = 0; s < sampled; ++s) {
    peaks += plane.spectrum_length(shown[static_cast<std::size_t>(s * n / sampled)]);
  }
  if (peaks <= kMostPeaks) return sampled;
  const double share = static_cast<double>(kMostPeaks) / static_cast<double>(peaks);
  return std::clamp(static_cast<std::int64_t>(static_cast<double>(sampled) * share), std::min(n, kFewestSampled),
                    sampled);
}

// Counts the differences |x_i - x_j| between the positions of two spectra. The number of pairs grows with the square of
// the number of peaks, so if there are too many, only every n-th peak of `a` is compared, which does not change the
// shape of the histogram.
template <typename Take>
void compare(const std::vector<double>& a, const std::vector<double>& b, Take&& take) {
  std::size_t first = 0;
  std::size_t last = 0;
  const auto move_to = [&](double x) {
    while (first < b.size() && b[first] <= x - kFarthest) ++first;
    last = std::max(last, first);
    while (last < b.size() && b[last] < x + kFarthest) ++last;
  };
  std::size_t pairs = 0;
  for (const double x : a) {
    move_to(x);
    pairs += last - first;
  }
  const std::size_t stride = pairs / kMostPairs + 1;
  first = last = 0;
  for (std::size_t i = std::min(stride, a.size()) / 2; i < a.size(); i += stride) {
    move_to(a[i]);
    for (std::size_t j = first; j < last; ++j) take(std::abs(b[j] - a[i]));
  }
}

// Takes the differences between peaks that belong together. The peaks of both spectra are cut into groups wherever none
// follows within `reach`. If a group has as many peaks in both spectra, they are compared in their order; otherwise
// those that are each other's nearest are.
template <typename Take>
void compare_nearest(const std::vector<double>& a, const std::vector<double>& b, double reach, Take&& take) {
  const auto nearest = [](const std::vector<double>& values, std::size_t from, std::size_t to, double x) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(to);
    const auto above = std::lower_bound(begin, end, x);
    const auto at = static_cast<std::size_t>(above - values.begin());
    if (above == begin || (above != end && *above - x < x - *(above - 1))) return at;
    return at - 1;
  };
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    const std::size_t in_a = i;
    const std::size_t in_b = j;
    double last = std::min(a[i], b[j]);
    while (true) {
      if (i < a.size() && a[i] - last <= reach && (j >= b.size() || a[i] <= b[j])) {
        last = a[i++];
      } else if (j < b.size() && b[j] - last <= reach) {
        last = b[j++];
      } else {
        break;
      }
    }
    if (i - in_a == j - in_b) {
      for (std::size_t k = 0; k < i - in_a; ++k) take(std::abs(b[in_b + k] - a[in_a + k]));
    } else if (j > in_b) {
      for (std::size_t k = in_a; k < i; ++k) {
        const std::size_t other = nearest(b, in_b, j, a[k]);
        if (nearest(a, in_a, i, b[other]) == k) take(std::abs(b[other] - a[k]));
      }
    }
  }
}

// The differences above the even part, which is estimated from the outer third of a reach. cumulative[d] counts those
// below d.
struct Excess {
  std::size_t outer;  // start of the outer third
  double even;        // per bin
  std::vector<double> cumulative;

  Excess(const Differences& differences, double reach) {
    const auto end = static_cast<std::size_t>(reach / kResolution);
    outer = end * 2 / 3;
    even =
        static_cast<double>(std::accumulate(differences.begin() + static_cast<std::ptrdiff_t>(outer),
                                            differences.begin() + static_cast<std::ptrdiff_t>(end), std::uint64_t{0})) /
        static_cast<double>(end - outer);
    cumulative.assign(outer + 1, 0.0);
    for (std::size_t d = 0; d < outer; ++d)
      cumulative[d + 1] = cumulative[d] + static_cast<double>(differences[d]) - even;
  }

  double chance(std::size_t below) const { return std::sqrt(std::max(1.0, even * static_cast<double>(below))); }
};

// In a normal distribution, 68.27 % of the values lie within one standard deviation and 95.45 % within two. The
// standard deviation is therefore the smallest a at which count(a) / count(2a) has that ratio. Only the core of the
// distribution is used, so nearby ions and outliers do not widen the result.
std::optional<double> spread(const Differences& differences, double enough, double far_share) {
  constexpr double kRatio = 0.6827 / 0.9545;
  const std::vector<Excess> reaches{
      {differences, 15.0}, {differences, 45.0}, {differences, 135.0}, {differences, 405.0}, {differences, kFarthest}};
  // With few pairs, the foot of a wider peak can pass the tests by chance. Most of that peak then lies further out. If
  // the reach is narrower than the peak, only a wider reach shows this.
  const auto is_foot = [&](std::size_t r, std::size_t a) {
    while (r + 1 < reaches.size() && reaches[r].outer < 8 * a) ++r;
    const Excess& wide = reaches[r];
    const std::size_t far = std::min(8 * a, wide.outer);
    return wide.cumulative[far] > far_share * wide.cumulative[std::min(2 * a, far)] + 3.0 * wide.chance(far);
  };
  // A run of chance among few pairs is not most of them.
  const auto pairs = static_cast<double>(std::accumulate(differences.begin(), differences.end(), std::uint64_t{0}));
  if (pairs < kFewPairs) enough = std::max(enough, kShareOfFew * reaches.back().cumulative.back());
  for (std::size_t r = 0; r < reaches.size(); ++r) {
    const Excess& excess = reaches[r];
    const auto& within = excess.cumulative;
    for (std::size_t a = 1; 2 * a <= excess.outer; ++a) {
      if (within[2 * a] < enough || within[2 * a] < 5.0 * excess.chance(2 * a)) continue;
      if (within[a] < kRatio * within[2 * a] || is_foot(r, a)) continue;
      const double sd = static_cast<double>(a) * kResolution;
      // The outer part still belongs to the peak; try a wider reach.
      if (sd > kResolution * static_cast<double>(excess.outer) * 0.3) break;
      return sd / std::sqrt(2.0);
    }
  }
  return std::nullopt;
}

// Returns the mean number of other peaks of its spectrum within `reach` of a peak.
double crowding(const std::vector<std::vector<double>>& positions, double reach) {
  double others = 0.0;
  double peaks = 0.0;
  for (const auto& x : positions) {
    std::size_t first = 0;
    for (std::size_t p = 0; p < x.size(); ++p) {
      while (x[p] - x[first] > reach) ++first;
      others += 2.0 * static_cast<double>(p - first);  // each pair counts for both
    }
    peaks += static_cast<double>(x.size());
  }
  return peaks > 0.0 ? others / peaks : 0.0;
}

}  // namespace

PeakWidth::PeakWidth(const io::Plane& plane, int threads, const std::atomic<bool>* cancel) {
  const auto shown = plane.shown().spectra();
  const auto n = static_cast<std::int64_t>(shown.size());
  const std::int64_t sampled = sample_size(plane);
  std::vector<std::vector<double>> positions;
  io::Spectrum spectrum;
  for (std::int64_t s = 0; s < sampled; ++s) {
    throw_if_cancelled(cancel);
    plane.read(shown[static_cast<std::size_t>(s * n / sampled)], spectrum);
    std::vector<double> x;
    for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
      if (spectrum.intensity[p] != 0.0 && spectrum.mz[p] >= kLeastMz) x.push_back(1e6 * std::log(spectrum.mz[p]));
    }
    if (!x.empty()) positions.push_back(std::move(x));
  }
  const std::size_t m = positions.size();
  if (m < 2) return;

  // Partners lie at all distances up to half the section, so drift contributes as it does over the whole section.
  const auto histogram = [&](const auto& compare_two) {
    std::vector<Differences> workers(static_cast<std::size_t>(thread_count(threads)), Differences(kBins, 0));
    const std::size_t partners = std::min(m / 2, static_cast<std::size_t>(kPartners));
    const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
      Differences& differences = workers[static_cast<std::size_t>(worker)];
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        for (std::size_t p = 1; p <= partners; ++p) {
          const std::size_t j = (i + std::max<std::size_t>(1, p * m / (2 * partners))) % m;
          if (j == i) continue;
          compare_two(positions[i], positions[j], [&](double d) {
            const auto bin = static_cast<std::size_t>(d / kResolution);
            if (bin < kBins) ++differences[bin];
          });
        }
      }
    };
    parallel_for(static_cast<std::int64_t>(m), 4, threads, body, cancel);
    for (std::size_t w = 1; w < workers.size(); ++w) {
      for (std::size_t d = 0; d < kBins; ++d) workers[0][d] += workers[w][d];
    }
    return workers[0];
  };
  const double enough = std::min(kEnough, 2.0 * static_cast<double>(m));
  const auto all = histogram([](const auto& a, const auto& b, auto&& take) { compare(a, b, take); });
  std::optional<double> sd = spread(all, enough, kFarShare);
  // In a file of a few close ions nothing is even: differences between ions pass for a wide peak, or for none.
  const double reach = kCrowded * sd.value_or(kFallbackPpm);
  if (const double others = crowding(positions, reach); others >= kSomeClose && others <= kFewClose) {
    const auto nearest =
        histogram([&](const auto& a, const auto& b, auto&& take) { compare_nearest(a, b, reach, take); });
    // The nearest ones are mostly those of one ion.
    const auto compared = static_cast<double>(std::accumulate(nearest.begin(), nearest.end(), std::uint64_t{0}));
    const auto close = spread(nearest, std::max(enough, kShareOfNearest * compared), kFarShareOfNearest);
    if (close && (!sd || *close < kNarrower * *sd)) sd = close;
  }
  if (!sd) return;
  estimated_ = true;
  typical_ = std::max(kLeast, *sd);
}

void PeakWidth::refine(const std::vector<Measured>& channels) {
  const std::size_t knots = channels.size() / kNeighbours;
  std::vector<double> values;
  std::vector<double> all;
  for (std::size_t k = 0; k < knots; ++k) {
    values.clear();
    const std::size_t first = k * channels.size() / knots;
    const std::size_t last = (k + 1) * channels.size() / knots;
    for (std::size_t c = first; c < last; ++c) values.push_back(channels[c].sd_ppm);
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    knots_.push_back(channels[(first + last) / 2].position);
    sd_.push_back(std::max(kLeast, *middle));
    all.push_back(sd_.back());
  }
  if (all.empty()) return;
  std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
  typical_ = all[all.size() / 2];
}

double PeakWidth::at(double position) const {
  if (sd_.empty()) return typical_;
  const auto above = std::lower_bound(knots_.begin(), knots_.end(), position);
  if (above == knots_.begin()) return sd_.front();
  if (above == knots_.end()) return sd_.back();
  const auto i = static_cast<std::size_t>(above - knots_.begin());
  const double share = (position - knots_[i - 1]) / (knots_[i] - knots_[i - 1]);
  return sd_[i - 1] * (1.0 - share) + sd_[i] * share;
}

}  // namespace imn::images
