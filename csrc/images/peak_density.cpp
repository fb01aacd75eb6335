#include "images/peak_density.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/parallel_for.h"
#include "images/mz_window.h"

namespace imn::images {
namespace {

constexpr double kMostCells = 1 << 23;
constexpr double kNarrowPpm = 1000.0;
constexpr double kSegmentPpm = 8000.0;  // a few m/z units: follows slow changes of the noise, averages many channels

// Returns the mean of the counts, excluding those that are improbable in a Poisson distribution of that mean.
double clipped_mean(const double* counts, std::size_t n) {
  double limit = INFINITY;
  double mean = 0.0;
  for (int round = 0; round < 20; ++round) {
    double sum = 0.0;
    double kept = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      if (counts[i] > limit) continue;
      sum += counts[i];
      kept += 1.0;
    }
    const double next = kept > 0.0 ? sum / kept : 0.0;
    const double next_limit = next + 3.0 * std::sqrt(next) + 1.0;
    if (next_limit >= limit) break;
    mean = next;
    limit = next_limit;
  }
  return mean;
}

}  // namespace

PeakDensity::PeakDensity(const io::Plane& plane, double finest, double paired_within, int threads,
                         const std::atomic<bool>* cancel) {
  const std::pair<double, double> range_of_file = plane.mz_range();
  const double lowest = std::max(range_of_file.first, kLeastMz);
  const double highest = range_of_file.second;
  if (!(highest >= lowest)) {
    below_.assign(2, 0);
    return;
  }
  const double range = 1e6 * std::log(highest / lowest);
  cell_ = std::max(finest, range / (kMostCells - 16.0));
  // A file of a few close ions has no background between them; the cells beside them show that there is none.
  const double beside = range < kNarrowPpm ? std::ceil(kNarrowPpm / cell_) : 4.0;
  origin_ = 1e6 * std::log(lowest) - beside * cell_;
  const auto cells = static_cast<std::size_t>(range / cell_ + 2.0 * beside) + 1;
  below_.assign(cells + 1, 0);
  struct Worker {
    io::Spectrum spectrum;
    std::vector<double> positions;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(thread_count(threads)));
  const auto shown = plane.shown().spectra();
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    auto& [spectrum, positions] = workers[static_cast<std::size_t>(worker)];
    for (auto i = begin; i < end; ++i) {
      plane.read(shown[static_cast<std::size_t>(i)], spectrum);
      positions.clear();
      for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
        if (spectrum.intensity[p] != 0.0 && spectrum.mz[p] >= lowest)
          positions.push_back(1e6 * std::log(spectrum.mz[p]));
      }
      for (std::size_t p = 0; p < positions.size(); ++p) {
        if (paired_within > 0.0 && (p == 0 || positions[p] - positions[p - 1] > paired_within) &&
            (p + 1 == positions.size() || positions[p + 1] - positions[p] > paired_within)) {
          continue;
        }
        const auto cell = static_cast<std::size_t>((positions[p] - origin_) / cell_);
        // One table for all threads, since a table each would multiply the memory; collisions are rare.
        std::atomic_ref<std::uint64_t>(below_[std::min(cell, cells - 1) + 1]).fetch_add(1, std::memory_order_relaxed);
      }
    }
  };
  parallel_for(static_cast<std::int64_t>(shown.size()), 64, threads, body, cancel);
  for (std::size_t c = 1; c < below_.size(); ++c) below_[c] += below_[c - 1];
}

double PeakDensity::count(std::int64_t first, std::int64_t last) const {
  first = std::clamp<std::int64_t>(first, 0, cells());
  last = std::clamp<std::int64_t>(last, first, cells());
  return static_cast<double>(below_[static_cast<std::size_t>(last)] - below_[static_cast<std::size_t>(first)]);
}

void PeakDensity::find_background(const PeakWidth& width, int threads) {
  segment_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(kSegmentPpm / cell_));
  level_.assign(static_cast<std::size_t>((cells() + segment_ - 1) / segment_), 0.0);
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<double> counts;
    for (auto b = begin; b < end; ++b) {
      const double sd = width.at(position(static_cast<double>(b * segment_ + segment_ / 2))) / cell_;
      const std::int64_t box = std::max<std::int64_t>(1, std::llround(3.0 * sd));
      counts.clear();
      // A short last segment includes cells of the preceding one.
      const std::int64_t end_cell = std::min(cells(), (b + 1) * segment_);
      const std::int64_t begin_cell = std::max<std::int64_t>(0, std::min(b * segment_, end_cell - segment_));
      for (std::int64_t c = begin_cell; c + box <= end_cell; c += box) counts.push_back(count(c, c + box));
      level_[static_cast<std::size_t>(b)] = clipped_mean(counts.data(), counts.size()) / static_cast<double>(box);
    }
  };
  parallel_for(static_cast<std::int64_t>(level_.size()), 8, threads, body);
}

double PeakDensity::background(std::int64_t cell, double sd_cells) const {
  const double level = level_[static_cast<std::size_t>(std::clamp<std::int64_t>(cell, 0, cells() - 1) / segment_)];
  constexpr int kBoxes = 24;
  std::array<double, kBoxes> near;
  const std::int64_t box = std::max<std::int64_t>(1, std::llround(3.0 * sd_cells));
  int n = 0;
  for (int b = 1; b <= kBoxes / 2; ++b) {
    const std::int64_t gap = box / 2 + b * box;
    near[static_cast<std::size_t>(n++)] = count(cell + gap, cell + gap + box);
    near[static_cast<std::size_t>(n++)] = count(cell - gap - box, cell - gap);
  }
  std::nth_element(near.begin(), near.begin() + kBoxes / 2, near.end());
  return std::max(level, near[kBoxes / 2] / static_cast<double>(box));
}

}  // namespace imn::images
