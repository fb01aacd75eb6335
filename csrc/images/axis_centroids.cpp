// Axis of a processed centroid file: channels are clusters of peaks on the ln(m/z) axis.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <vector>

#include "core/parallel_for.h"
#include "images/axis_kinds.h"
#include "images/occupancy.h"
#include "images/peak_density.h"
#include "images/peak_mixture.h"
#include "images/peak_width.h"
#include "images/poisson.h"

namespace imn::images {
namespace {

constexpr double kFinestCell = 0.25;  // ppm
// Half the share of a channel present in one per cent of the pixels, so such a channel survives missed peaks. Random
// peaks are excluded by a separate test, not by this floor.
constexpr double kDefaultFrequency = 0.005;
constexpr double kFalseChannels = 0.1;     // chance clusters expected over the whole axis
constexpr double kLongest = 100.0;         // standard deviations; longest stretch fitted at once
constexpr double kHalfWidth = 3.0;         // standard deviations: 99.7 % of a channel's peaks
constexpr double kJudgedApart = 10.0;      // standard deviations; closer neighbours need evidence that they are two
constexpr double kFewestMeasured = 100.0;  // peaks required to measure the width of a channel
constexpr double kPairReach = 6.0;         // standard deviations between two peaks counted as a pair
constexpr double kResolved = 2.0;          // standard deviations
constexpr double kFlank = 0.2;             // of the stronger component; below this share, a weaker one may be its flank
constexpr double kDrift = 6.0;             // ppm; drift may separate two regions of an ion by this much
constexpr double kShapeEvidence = 4.0;     // log-likelihood ratio of two components against one
constexpr double kFewSpectra = 100.0;      // whose peaks fall into two clusters by chance, see Company
constexpr double kNeverByChance = 0.05;

struct Channel {
  double position = 0.0;  // 1e6 * ln(m/z)
  double sd = 1.0;        // ppm
  double fitted = 0.0;    // number of peaks that it explains
  double lo = 0.0, hi = 0.0;
  std::int64_t spectra = 0;
  bool cut_left = false, cut_right = false;  // a neighbour claims some of the peaks
};

double mz_of(double position) { return std::exp(position * 1e-6); }

// Cuts stretches that are too long where they have the fewest peaks: the cost of a fit grows faster than its length,
// and dense data would form one stretch. A channel at a cut is found on both sides and joined like any other channel
// fitted in parts.
std::vector<std::pair<std::int64_t, std::int64_t>> cut_long(
    const PeakDensity& density, const PeakWidth& width,
    const std::vector<std::pair<std::int64_t, std::int64_t>>& stretches) {
  std::vector<std::pair<std::int64_t, std::int64_t>> cut;
  for (const auto& stretch : stretches) {
    std::int64_t from = stretch.first;
    while (true) {
      const double sd = width.at(density.position(static_cast<double>(from))) / density.cell_ppm();
      const auto longest = static_cast<std::int64_t>(std::ceil(kLongest * sd));
      if (stretch.second - from <= longest) break;
      const auto half = std::max<std::int64_t>(0, std::llround(sd));
      std::int64_t best = from + longest / 2;
      for (std::int64_t c = best; c < from + longest; ++c) {
        if (density.count(c - half, c + half + 1) < density.count(best - half, best + half + 1)) best = c;
      }
      cut.emplace_back(from, best);
      from = best;
    }
    cut.emplace_back(from, stretch.second);
  }
  return cut;
}

// Returns stretches of cells with significant counts, padded so that components at their edges are complete.
std::vector<std::pair<std::int64_t, std::int64_t>> busy_stretches(const PeakDensity& density, const PeakWidth& width,
                                                                  double log10_p, double fewest) {
  std::vector<std::pair<std::int64_t, std::int64_t>> stretches;
  std::int64_t c = 0;
  while (c < density.cells()) {
    const double sd = width.at(density.position(static_cast<double>(c))) / density.cell_ppm();
    const auto half = std::max<std::int64_t>(0, std::llround(1.4 * sd));
    const auto step = std::max<std::int64_t>(1, half / 2);
    const double seen = density.count(c - half, c + half + 1);
    if (seen >= fewest) {
      const double expected = density.background(c, sd) * static_cast<double>(2 * half + 1);
      // The limit is less strict than for a channel, because the stretch only determines where to search.
      if (seen > expected && log10_poisson_tail(seen, std::max(expected, 1e-12)) <= 0.5 * log10_p) {
        const auto pad = static_cast<std::int64_t>(std::ceil(6.0 * sd)) + 1;
        const std::int64_t from = std::max<std::int64_t>(0, c - pad);
        const std::int64_t to = std::min(density.cells(), c + pad + 1);
        if (!stretches.empty() && from <= stretches.back().second) {
          stretches.back().second = to;
        } else {
          stretches.emplace_back(from, to);
        }
      }
    }
    c += step;
  }
  return cut_long(density, width, stretches);
}

struct Search {
  const PeakDensity& all;
  const PeakDensity& paired;
  const PeakWidth& width;
  double log10_p;
  double fewest;
  const std::atomic<bool>* cancel;
};

// Returns the components in the cells [from, to) of one density, with positions in cells of the density.
std::vector<PeakComponent> fit_stretch(const PeakDensity& density, std::int64_t from, std::int64_t to, double sd,
                                       const Search& search, const std::vector<PeakComponent>& known) {
  // Cells of a quarter of a standard deviation are fine enough for the fit.
  const auto merged = std::max<std::int64_t>(1, static_cast<std::int64_t>(0.25 * sd / density.cell_ppm()));
  const auto step = static_cast<double>(merged);
  std::vector<double> counts;
  for (std::int64_t c = from; c < to; c += merged) counts.push_back(density.count(c, std::min(to, c + merged)));
  MixtureOptions mixture;
  mixture.sd = sd / density.cell_ppm() / step;
  mixture.background = density.background((from + to) / 2, sd / density.cell_ppm()) * step;
  mixture.log10_p = search.log10_p;
  mixture.fewest_peaks = search.fewest;
  mixture.cancel = search.cancel;
  std::vector<PeakComponent> start = known;
  const auto first = static_cast<double>(from);
  for (PeakComponent& component : start) component.position = (component.position + 0.5 - first) / step - 0.5;
  std::vector<PeakComponent> found = fit_peak_mixture(counts, mixture, start);
  for (PeakComponent& component : found) component.position = first + (component.position + 0.5) * step - 0.5;
  return found;
}

std::vector<Channel> find_channels(const Search& search, const AxisOptions& options) {
  const PeakDensity& density = search.all;
  const auto stretches = busy_stretches(density, search.width, search.log10_p, search.fewest);
  std::vector<std::vector<Channel>> found(stretches.size());
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    for (auto s = begin; s < end; ++s) {
      const auto [from, to] = stretches[static_cast<std::size_t>(s)];
      const double sd = search.width.at(density.position(0.5 * static_cast<double>(from + to)));
      // Two ions that appear close together in one spectrum stand out, equally strong, in the histogram of paired
      // peaks, even if the weaker one is hidden in the flank of the stronger one in the histogram of all peaks.
      const auto pairs = fit_stretch(search.paired, from, to, sd, search, {});
      const auto known = pairs.size() > 1 ? pairs : std::vector<PeakComponent>{};
      for (const PeakComponent& component : fit_stretch(density, from, to, sd, search, known)) {
        Channel channel;
        channel.position = density.position(component.position);
        channel.sd = sd;
        channel.fitted = component.peaks;
        found[static_cast<std::size_t>(s)].push_back(channel);
      }
    }
  };
  parallel_for(static_cast<std::int64_t>(stretches.size()), 16, options.threads, body, options.cancel);
  std::vector<Channel> channels;
  for (const auto& part : found) channels.insert(channels.end(), part.begin(), part.end());
  std::sort(channels.begin(), channels.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
  return channels;
}

// Measures the actual width of isolated channels, because close neighbours affect the comparison of pairs.
std::vector<PeakWidth::Measured> measured_widths(const PeakDensity& density, const std::vector<Channel>& channels) {
  std::vector<PeakWidth::Measured> measured;
  for (std::size_t k = 0; k < channels.size(); ++k) {
    const Channel& c = channels[k];
    const bool lone = (k == 0 || c.position - channels[k - 1].position > 10.0 * c.sd) &&
                      (k + 1 == channels.size() || channels[k + 1].position - c.position > 10.0 * c.sd);
    if (!lone || c.fitted < kFewestMeasured) continue;
    const std::int64_t middle = density.cell_of(c.position);
    const auto reach = static_cast<std::int64_t>(std::ceil(4.0 * c.sd / density.cell_ppm()));
    const double background = density.background(middle, c.sd / density.cell_ppm());
    double weight = 0.0, sum = 0.0, squares = 0.0;
    for (std::int64_t cell = middle - reach; cell <= middle + reach; ++cell) {
      const double excess = density.count(cell, cell + 1) - background;
      const double x = density.position(static_cast<double>(cell)) - c.position;
      weight += excess;
      sum += excess * x;
      squares += excess * x * x;
    }
    if (weight < 0.5 * c.fitted) continue;
    const double variance = squares / weight - (sum / weight) * (sum / weight);
    if (variance > 0.0) measured.push_back({c.position, std::sqrt(variance)});
  }
  return measured;
}

// Windows extend kHalfWidth standard deviations, or to the border with a neighbour: the point where both are equally
// likely, restricted to the middle third so that a strong channel does not swallow a weak one.
void set_windows(std::vector<Channel>& channels) {
  for (Channel& c : channels) {
    c.lo = c.position - kHalfWidth * c.sd;
    c.hi = c.position + kHalfWidth * c.sd;
    c.cut_left = c.cut_right = false;
  }
  for (std::size_t k = 0; k + 1 < channels.size(); ++k) {
    Channel& a = channels[k];
    Channel& b = channels[k + 1];
    if (a.hi < b.lo) continue;
    const double apart = b.position - a.position;
    const double sd = 0.5 * (a.sd + b.sd);
    const double equal = 0.5 * apart + sd * sd * std::log(a.fitted / b.fitted) / std::max(apart, 1e-6);
    const double border = a.position + std::clamp(equal, apart / 3.0, apart * 2.0 / 3.0);
    a.hi = border;
    b.lo = border;
    a.cut_right = b.cut_left = true;
  }
}

std::vector<MzWindow> mz_windows(const std::vector<Channel>& channels) {
  std::vector<MzWindow> windows;
  for (const Channel& c : channels) {
    MzWindow window{mz_of(c.lo), mz_of(c.hi)};
    if (!windows.empty() && window.lo <= windows.back().hi) {
      window.lo = std::nextafter(windows.back().hi, std::numeric_limits<double>::infinity());
    }
    window.hi = std::max(window.hi, window.lo);  // the peaks may be adjacent floating-point numbers
    windows.push_back(window);
  }
  return windows;
}

// Returns whether there is a dip between two clusters that chance does not explain: compares the level around the lower
// top with the lowest level in between.
bool valley_between(const PeakDensity& density, const Channel& a, const Channel& b) {
  const double sd = 0.5 * (a.sd + b.sd) / density.cell_ppm();
  const auto level = [&](std::int64_t c, std::int64_t half) {
    return density.count(c - half, c + half + 1) / static_cast<double>(2 * half + 1);
  };
  const auto top_half = std::llround(sd);
  const auto dip_half = std::llround(0.5 * sd);
  const std::int64_t from = density.cell_of(a.position);
  const std::int64_t to = density.cell_of(b.position);
  double lowest = INFINITY;
  for (std::int64_t c = from + top_half; c <= to - top_half; ++c) lowest = std::min(lowest, level(c, dip_half));
  const double top = std::min(level(from, top_half), level(to, top_half));
  const double error =
      std::sqrt(top / static_cast<double>(2 * top_half + 1) + lowest / static_cast<double>(2 * dip_half + 1));
  return lowest < 0.8 * top && top - lowest > 3.0 * error;
}

// Returns the log-likelihood ratio of two components against one that may be a quarter wider, over the counts around
// them.
double two_against_one(const PeakDensity& density, const Channel& a, const Channel& b, double background) {
  const double sd = 0.5 * (a.sd + b.sd);
  const double total = a.fitted + b.fitted;
  const double centre = (a.position * a.fitted + b.position * b.fitted) / total;
  const std::int64_t from = density.cell_of(a.position - 2.5 * sd);
  const std::int64_t to = density.cell_of(b.position + 2.5 * sd) + 1;
  const auto normal = [&](double x, double middle, double width) {
    const double z = (x - middle) / width;
    return density.cell_ppm() / (width * std::sqrt(2.0 * 3.14159265358979323846)) * std::exp(-0.5 * z * z);
  };
  double least = INFINITY;
  for (const double wider : {1.0, 1.1, 1.25}) {
    double ratio = 0.0;
    for (std::int64_t c = from; c < to; ++c) {
      const double x = density.position(static_cast<double>(c));
      const double two = background + a.fitted * normal(x, a.position, sd) + b.fitted * normal(x, b.position, sd);
      const double one = background + total * normal(x, centre, wider * sd);
      ratio += density.count(c, c + 1) * std::log(std::max(two, 1e-300) / std::max(one, 1e-300)) - two + one;
    }
    least = std::min(least, ratio);
  }
  return least;
}

// An ion has one centroid per spectrum. Two clusters that appear in the same spectra are therefore two ions, however
// close; two that never appear together, although many spectra should show both, are probably one. `pairs` is the
// number of spectra with a peak in both windows. Few peaks of one ion may leave a gap anywhere; that no spectrum has a
// peak on both sides of it, though two ions would meet, then outweighs the gap.
struct Company {
  bool together, apart, never_met;
};

// Probability that `a` and `b` of n spectra, drawn at random, have none in common.
double never_by_chance(double a, double b, double n) {
  if (a + b > n) return 0.0;
  return std::exp(std::lgamma(n - a + 1.0) + std::lgamma(n - b + 1.0) - std::lgamma(n - a - b + 1.0) -
                  std::lgamma(n + 1.0));
}

Company company(const Channel& a, const Channel& b, double pairs, double random_per_ppm, double spectra) {
  const double chance = random_per_ppm * ((b.hi - b.lo) * static_cast<double>(a.spectra) +
                                          (a.hi - a.lo) * static_cast<double>(b.spectra));
  // The windows of close neighbours contain peaks of each other, so the fitted number is the better estimate for the
  // weaker one.
  const double fewer = std::min(a.fitted, b.fitted);
  const double extra = pairs - chance;
  const double independent = a.fitted * b.fitted / spectra;
  const bool never =
      spectra < kFewSpectra && extra < 0.5 &&
      never_by_chance(static_cast<double>(a.spectra), static_cast<double>(b.spectra), spectra) < kNeverByChance;
  return {extra > 4.0 * std::sqrt(chance) + std::min(2.0, 0.5 * fewer) && extra > 0.1 * fewer,
          independent > 20.0 && extra < 0.1 * independent, never};
}

bool are_two(const PeakDensity& density, const Channel& a, const Channel& b, double pairs, double spectra) {
  const double sd = 0.5 * (a.sd + b.sd);
  const auto middle = density.cell_of(0.5 * (a.position + b.position));
  const double background = density.background(middle, sd / density.cell_ppm());
  const auto [together, apart, never_met] = company(a, b, pairs, background / density.cell_ppm() / spectra, spectra);
  // Drift can separate two regions of one ion. At this distance, only spectra that show both prove two ions.
  if (!together && b.position - a.position < kDrift) return false;
  if (never_met) return false;
  // Closer than this, the windows contain each other's peaks, and pairs are not informative.
  const bool resolved = b.position - a.position > kResolved * sd;
  if ((together && resolved) || valley_between(density, a, b)) return true;
  // The shape alone is evidence, except on the flank of a strong channel, whose true shape is not known well enough.
  const bool flank = std::min(a.fitted, b.fitted) < kFlank * std::max(a.fitted, b.fitted);
  return !apart && !flank && two_against_one(density, a, b, background) > kShapeEvidence;
}

// Joins neighbours that a single ion explains, because a wide or asymmetric channel is fitted by several components of
// the common shape.
std::vector<Channel> join_split_channels(const PeakDensity& density, const std::vector<Channel>& channels,
                                         const Occupancy& found, double spectra) {
  std::vector<Channel> joined;
  for (std::size_t k = 0; k < channels.size(); ++k) {
    Channel next = channels[k];
    next.spectra = found.spectra[k];
    if (!next.cut_left && !next.cut_right) next.position += found.offset_ppm[k];
    if (joined.empty() || next.position - joined.back().position >= kJudgedApart * next.sd ||
        are_two(density, joined.back(), next, static_cast<double>(found.with_next[k - 1]), spectra)) {
      joined.push_back(next);
      continue;
    }
    Channel& last = joined.back();
    const double weight = last.fitted + next.fitted;
    if (std::min(last.fitted, next.fitted) < kFlank * std::max(last.fitted, next.fitted)) {
      if (next.fitted > last.fitted) last = next;  // the flank of the stronger one is not part of its window
      continue;
    }
    last.position = (last.position * last.fitted + next.position * next.fitted) / weight;
    last.spectra += next.spectra - found.with_next[k - 1];  // approximate, but sufficient for the next comparison
    last.hi = next.hi;
    last.fitted = weight;
    last.cut_right = next.cut_right;
  }
  return joined;
}

// A single spectrum has no repetition, so every peak becomes a channel.
std::vector<Channel> every_peak(const io::Plane& plane, const PeakWidth& width) {
  io::Spectrum spectrum;
  plane.read(plane.shown().spectra().front(), spectrum);
  std::vector<Channel> channels;
  for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
    if (spectrum.intensity[p] == 0.0 || spectrum.mz[p] < kLeastMz) continue;
    const double position = 1e6 * std::log(spectrum.mz[p]);
    if (!channels.empty() && position <= channels.back().position) continue;
    Channel channel;
    channel.position = position;
    channel.sd = width.at(position);
    channel.fitted = 1.0;
    channels.push_back(channel);
  }
  return channels;
}

}  // namespace

CandidateAxis axis_of_centroids(const io::Plane& plane, const AxisOptions& options) {
  CandidateAxis axis;
  const io::Shown& shown = plane.shown();
  const auto n = static_cast<double>(shown.n_pixels());
  PeakWidth width =
      options.ppm ? PeakWidth(*options.ppm / kHalfWidth) : PeakWidth(plane, options.threads, options.cancel);
  const double cell = std::min(kFinestCell, width.typical_ppm());
  PeakDensity density(plane, cell, 0.0, options.threads, options.cancel);
  const double floor = options.min_frequency.value_or(kDefaultFrequency);
  // A channel needs two pixels, because one pixel has no shape; the exception is a file with a single spectrum.
  const double fewest = std::max(std::ceil(floor * n - 1e-9), std::min(n, 2.0));
  const auto describe = [&] {
    std::ostringstream text;
    text.precision(3);
    text << "peaks on the ln(m/z) axis, sd " << width.typical_ppm() << " ppm"
         << (options.ppm         ? " (given)"
             : width.estimated() ? " (estimated)"
                                 : " (assumed)")
         << ", at least " << fewest << " of " << shown.n_pixels() << (shown.several() ? " pixels" : " spectra");
    axis.method = text.str();
  };
  describe();
  if (density.peaks() == 0.0) return axis;

  density.find_background(width, options.threads);
  const double places = std::max(1.0, static_cast<double>(density.cells()) * density.cell_ppm() / width.typical_ppm());
  const double log10_p = std::log10(kFalseChannels / places);
  PeakDensity paired(plane, cell, kPairReach * width.typical_ppm(), options.threads, options.cancel);
  paired.find_background(width, options.threads);
  const Search search{density, paired, width, log10_p, 0.5 * fewest, options.cancel};
  const bool lone = shown.n_spectra() == 1;
  auto channels = lone ? every_peak(plane, width) : find_channels(search, options);
  if (!options.ppm && width.estimated()) {
    width.refine(measured_widths(density, channels));
    density.find_background(width, options.threads);
    paired.find_background(width, options.threads);
    channels = find_channels(search, options);
  }
  describe();
  set_windows(channels);
  auto centres = [](const std::vector<Channel>& list) {
    std::vector<double> mz;
    for (const Channel& c : list) mz.push_back(mz_of(c.position));
    return mz;
  };
  const Occupancy found = occupancy(plane, mz_windows(channels), centres(channels), options.threads, options.cancel);
  if (lone) {
    for (Channel& channel : channels) channel.spectra = 1;
  }
  // Whether two clusters are two ions is judged by single spectra, whose peaks are apart whatever the pixel adds up.
  auto kept = lone ? channels : join_split_channels(density, channels, found, static_cast<double>(shown.n_spectra()));
  const auto windows = mz_windows(kept);
  if (kept.size() != channels.size() || shown.several()) {
    // The spectra of joined channels, or of one pixel, cannot be added, so pixels are counted in the final windows.
    const auto again = pixels_in_windows(plane, windows, options.threads, options.cancel);
    for (std::size_t k = 0; k < kept.size(); ++k) kept[k].spectra = again[k];
  }
  for (std::size_t k = 0; k < kept.size(); ++k) {
    if (static_cast<double>(kept[k].spectra) < fewest) continue;
    axis.mz.push_back(std::clamp(mz_of(kept[k].position), windows[k].lo, windows[k].hi));
    axis.mz_lo.push_back(windows[k].lo);
    axis.mz_hi.push_back(windows[k].hi);
    axis.frequency.push_back(static_cast<double>(kept[k].spectra) / n);
  }
  return axis;
}

}  // namespace imn::images
