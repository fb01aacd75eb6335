// Axis of a processed centroid file: channels are heaps of peaks on the ln(m/z) axis.
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
// Half the share of a channel that one per cent of the pixels show, so that such a channel survives missed peaks.
// Random peaks are kept out by their own test, not by this floor.
constexpr double kDefaultFrequency = 0.005;
constexpr double kFalseChannels = 0.05;  // chance heaps expected over the whole axis
constexpr double kHalfWidth = 3.0;       // standard deviations: 99.7 % of a channel's peaks
constexpr double kJudgedApart = 10.0;    // standard deviations: closer neighbours must show that they are two

struct Channel {
  double position = 0.0;  // 1e6 * ln(m/z)
  double sd = 1.0;        // ppm
  double peaks = 0.0;     // as fitted
  double lo = 0.0, hi = 0.0;
  std::int64_t spectra = 0;
  bool cut_left = false, cut_right = false;  // a neighbour takes a part of the peaks
};

double mz_of(double position) { return std::exp(position * 1e-6); }

// Stretches of cells that hold something significant, padded so that a component at their rim is whole.
std::vector<std::pair<std::int64_t, std::int64_t>> busy_stretches(const PeakDensity& density, const PeakWidth& width,
                                                                  double log10_p, double fewest) {
  std::vector<std::pair<std::int64_t, std::int64_t>> stretches;
  std::int64_t c = 0;
  while (c < density.cells()) {
    const double sd = width.at(density.position(static_cast<double>(c))) / density.cell_ppm();
    const auto half = std::max<std::int64_t>(0, std::llround(sd));
    const auto step = std::max<std::int64_t>(1, half / 2);
    const double seen = density.count(c - half, c + half + 1);
    if (seen >= fewest) {
      const double expected = density.background(c, sd) * static_cast<double>(2 * half + 1);
      // A looser limit than for a channel: the stretch only says where to look.
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
  return stretches;
}

std::vector<Channel> find_channels(const PeakDensity& density, const PeakWidth& width, double log10_p, double fewest,
                                   const AxisOptions& options) {
  const auto stretches = busy_stretches(density, width, log10_p, fewest);
  std::vector<std::vector<Channel>> found(stretches.size());
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<double> counts;
    for (auto s = begin; s < end; ++s) {
      const auto [from, to] = stretches[static_cast<std::size_t>(s)];
      const std::int64_t middle = (from + to) / 2;
      const double sd = width.at(density.position(static_cast<double>(middle)));
      // Cells of a quarter of a standard deviation are fine enough for the fit.
      const auto merged = std::max<std::int64_t>(1, static_cast<std::int64_t>(0.25 * sd / density.cell_ppm()));
      counts.clear();
      for (std::int64_t c = from; c < to; c += merged) counts.push_back(density.count(c, std::min(to, c + merged)));
      MixtureOptions mixture;
      mixture.sd = sd / density.cell_ppm() / static_cast<double>(merged);
      mixture.background = density.background(middle, sd / density.cell_ppm()) * static_cast<double>(merged);
      mixture.log10_p = log10_p;
      mixture.fewest_peaks = fewest;
      for (const PeakComponent& component : fit_peak_mixture(counts, mixture)) {
        Channel channel;
        const double cell = static_cast<double>(from) + (component.position + 0.5) * static_cast<double>(merged) - 0.5;
        channel.position = density.position(cell);
        channel.sd = sd;
        channel.peaks = component.peaks;
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

// Windows reach kHalfWidth standard deviations, or to the border with a neighbour: where both are equally likely, kept
// in the middle third so that a strong channel does not swallow a weak one.
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
    const double equal = 0.5 * apart + sd * sd * std::log(a.peaks / b.peaks) / std::max(apart, 1e-6);
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
    windows.push_back(window);
  }
  return windows;
}

// A dip between two heaps that chance does not explain.
bool valley_between(const PeakDensity& density, const Channel& a, const Channel& b) {
  const double sd = 0.5 * (a.sd + b.sd) / density.cell_ppm();
  const auto half = std::max<std::int64_t>(0, std::llround(0.4 * sd));
  const auto box = [&](std::int64_t c) { return density.count(c - half, c + half + 1); };
  const std::int64_t from = density.cell_of(a.position);
  const std::int64_t to = density.cell_of(b.position);
  double lowest = INFINITY;
  for (std::int64_t c = from; c <= to; ++c) lowest = std::min(lowest, box(c));
  const double lower_top = std::min(box(from), box(to));
  return lowest < 0.8 * lower_top && lower_top - lowest > 4.0 * std::sqrt(lower_top + lowest);
}

// An ion has one centroid in a spectrum: two heaps that the same spectra show are two ions, however close. `pairs`:
// spectra with a peak in both windows; `random`: random peaks per ppm and spectrum.
bool seen_together(const Channel& a, const Channel& b, double pairs, double random) {
  const double chance =
      random * ((b.hi - b.lo) * static_cast<double>(a.spectra) + (a.hi - a.lo) * static_cast<double>(b.spectra));
  const double fewer = static_cast<double>(std::min(a.spectra, b.spectra));
  return pairs - chance > 4.0 * std::sqrt(chance) + 2.0 && pairs - chance > 0.1 * fewer;
}

// Joins neighbours that one ion explains. A wide or lopsided channel is fitted by several components of the common
// shape; they share no spectrum and have no dip between them.
std::vector<Channel> join_split_channels(const PeakDensity& density, const std::vector<Channel>& channels,
                                         const Occupancy& found, double spectra) {
  std::vector<Channel> joined;
  for (std::size_t k = 0; k < channels.size(); ++k) {
    Channel next = channels[k];
    next.spectra = found.spectra[k];
    next.peaks = static_cast<double>(found.peaks[k]);
    if (!next.cut_left && !next.cut_right) next.position += found.offset_ppm[k];
    if (!joined.empty()) {
      Channel& last = joined.back();
      const double sd = 0.5 * (last.sd + next.sd);
      const bool close = next.position - last.position < kJudgedApart * sd;
      const auto middle = density.cell_of(0.5 * (last.position + next.position));
      const double random = density.background(middle, sd / density.cell_ppm()) / density.cell_ppm() / spectra;
      const auto pairs = static_cast<double>(found.with_next[k - 1]);
      if (close && !valley_between(density, last, next) && !seen_together(last, next, pairs, random)) {
        const double weight = last.peaks + next.peaks;
        const bool tail = std::min(last.peaks, next.peaks) < 0.1 * std::max(last.peaks, next.peaks);
        if (tail) {
          if (next.peaks > last.peaks) last = next;  // the flank of the stronger one, not a part of its window
          continue;
        }
        last.position = (last.position * last.peaks + next.position * next.peaks) / weight;
        last.spectra += next.spectra - found.with_next[k - 1];
        last.hi = next.hi;
        last.peaks = weight;
        last.cut_right = next.cut_right;
        continue;
      }
    }
    joined.push_back(next);
  }
  return joined;
}

}  // namespace

CandidateAxis axis_of_centroids(const io::Dataset& dataset, const AxisOptions& options) {
  CandidateAxis axis;
  const auto n = static_cast<double>(dataset.n_spectra());
  const PeakWidth width = options.ppm > 0.0 ? PeakWidth(options.ppm / kHalfWidth) : PeakWidth(dataset);
  PeakDensity density(dataset, std::min(kFinestCell, width.typical_ppm()), options.threads, options.cancel);
  std::ostringstream method;
  method.precision(3);
  method << "peaks on the ln(m/z) axis, sd " << width.typical_ppm() << " ppm"
         << (options.ppm > 0.0   ? " (given)"
             : width.estimated() ? " (estimated)"
                                 : " (assumed)");
  const double floor = options.min_frequency >= 0.0 ? options.min_frequency : kDefaultFrequency;
  // One pixel has no shape: a channel needs two, unless there is only one.
  const double fewest = std::max(std::ceil(floor * n - 1e-9), std::min(n, 2.0));
  method << ", at least " << fewest << " of " << dataset.n_spectra() << " spectra";
  axis.method = method.str();
  if (density.peaks() == 0.0) return axis;

  density.find_background(width, options.threads);
  const double places = std::max(1.0, static_cast<double>(density.cells()) * density.cell_ppm() / width.typical_ppm());
  // A single spectrum has no repetition to test: every peak is a channel.
  const double log10_p = n > 1.0 ? std::log10(kFalseChannels / places) : 0.0;
  auto channels = find_channels(density, width, log10_p, 0.5 * fewest, options);
  set_windows(channels);
  auto centres = [](const std::vector<Channel>& list) {
    std::vector<double> mz;
    for (const Channel& c : list) mz.push_back(mz_of(c.position));
    return mz;
  };
  const Occupancy found = occupancy(dataset, mz_windows(channels), centres(channels), options.threads, options.cancel);
  const auto kept = join_split_channels(density, channels, found, n);
  const auto windows = mz_windows(kept);
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
