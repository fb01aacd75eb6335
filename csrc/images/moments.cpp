#include "images/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "core/parallel_for.h"
#include "images/grouped_sum.h"
#include "images/sample_grid.h"

namespace imn::images {
namespace {

constexpr double kGap = 4.0;  // samples further apart than this many grid steps are not connected

// The largest values of groups of pixels. Pixel p belongs to group p % groups, so that an ion of a small region is in
// several of them. A largest value does not depend on the order of the pixels.
class UpperSpectrum {
 public:
  UpperSpectrum(std::int64_t n, std::size_t bins)
      : bins_(bins),
        groups_(static_cast<std::size_t>(
            std::clamp<std::int64_t>(n / kGroup, 1, static_cast<std::int64_t>(std::min(kMostGroups, most(bins)))))),
        largest_(groups_ * bins, -std::numeric_limits<float>::infinity()),
        locks_(groups_) {}

  void add(std::int64_t pixel, const std::vector<double>& values) {
    const std::size_t group = static_cast<std::size_t>(pixel) % groups_;
    float* largest = largest_.data() + group * bins_;
    const std::lock_guard<std::mutex> lock(locks_[group]);
    for (std::size_t b = 0; b < bins_; ++b) largest[b] = std::max(largest[b], static_cast<float>(values[b]));
  }

  std::int64_t count() const { return static_cast<std::int64_t>(groups_); }

  std::vector<double> mean() const {
    std::vector<double> sum(bins_, 0.0);
    for (std::size_t v = 0; v < largest_.size(); ++v) sum[v % bins_] += static_cast<double>(largest_[v]);
    for (double& value : sum) value /= static_cast<double>(groups_);
    return sum;
  }

 private:
  static std::size_t most(std::size_t bins) { return std::max<std::size_t>(1, kBudget / bins); }

  static constexpr std::int64_t kGroup = 96;  // pixels: 1 % of the pixels are in most groups
  static constexpr std::size_t kMostGroups = 64;
  static constexpr std::size_t kBudget = std::size_t{1} << 24;  // values

  std::size_t bins_;
  std::size_t groups_;
  std::vector<float> largest_;  // (groups, bins)
  std::vector<std::mutex> locks_;
};

// Computes the values of a profile spectrum at the grid points, 0 where it has no samples nearby. The curve is
// interpolated instead of summed into bins, because a spacing that beats with the bins would appear as ripples in the
// mean.
void interpolate(const io::Spectrum& spectrum, const std::vector<double>& grid, std::vector<double>& values) {
  values.assign(grid.size(), 0.0);
  const auto& mz = spectrum.mz;
  if (mz.empty()) return;
  std::size_t next = 0;  // first sample at or above the grid point
  for (std::size_t g = 0; g < grid.size(); ++g) {
    while (next < mz.size() && mz[next] < grid[g]) ++next;
    const double step = grid.size() == 1 ? 0.0 : (g + 1 < grid.size() ? grid[g + 1] - grid[g] : grid[g] - grid[g - 1]);
    const double right = next < mz.size() ? mz[next] - grid[g] : INFINITY;
    const double left = next > 0 ? grid[g] - mz[next - 1] : INFINITY;
    if (right == 0.0) {
      values[g] = spectrum.intensity[next];
    } else if (left + right <= kGap * step) {
      values[g] = (spectrum.intensity[next - 1] * right + spectrum.intensity[next] * left) / (left + right);
    } else if (std::min(left, right) <= 0.5 * step) {
      values[g] = left <= right ? spectrum.intensity[next - 1] : spectrum.intensity[next];
    }
  }
}

// Puts the samples of a spectrum on the points that they lie on; the others are 0.
void place(const io::Spectrum& spectrum, const std::vector<double>& grid, std::vector<double>& values) {
  values.assign(grid.size(), 0.0);
  std::size_t g = 0;
  for (std::size_t p = 0; p < spectrum.mz.size(); ++p) {
    const double mz = spectrum.mz[p];
    while (g + 1 < grid.size() && std::abs(grid[g + 1] - mz) <= std::abs(mz - grid[g])) ++g;
    const double value = spectrum.intensity[p];
    if (values[g] == 0.0 || value > values[g]) values[g] = value;
  }
}

}  // namespace

Moments moments(const io::Plane& plane, int threads, const std::atomic<bool>* cancel, Upper upper) {
  const bool continuous = plane.spectra().mode() == io::Mode::continuous;
  Moments result;
  bool placed = false;
  if (continuous) {
    const auto axis = plane.spectra().shared_mz();
    result.mz.assign(axis.begin(), axis.end());
  } else {
    SampleGrid grid = sample_grid(plane);
    result.mz = std::move(grid.mz);
    placed = grid.shared;
  }
  const std::size_t bins = result.mz.size();
  const io::Shown& shown = plane.shown();
  const std::int64_t n = shown.n_pixels();
  if (bins == 0 || n == 0) return result;

  struct Worker {
    io::Spectrum spectrum;
    std::vector<double> values;
    std::vector<double> pixel;  // sum of its spectra, where there are several
  };
  std::vector<Worker> workers(static_cast<std::size_t>(thread_count(threads)));
  std::optional<UpperSpectrum> groups;
  if (upper == Upper::with) groups.emplace(n, bins);
  const auto read = [&](std::int64_t i, io::Spectrum& spectrum, std::vector<double>& values) {
    if (continuous) {
      values.resize(bins);
      plane.read_bins(i, 0, static_cast<std::int64_t>(bins), values.data());
    } else {
      plane.read(i, spectrum);
      (placed ? place : interpolate)(spectrum, result.mz, values);
    }
  };
  const auto add = [&](std::int64_t p, int worker, double* sums) {
    auto& [spectrum, values, pixel] = workers[static_cast<std::size_t>(worker)];
    const auto spectra = shown.of_pixel(p);
    read(spectra.front(), spectrum, values);
    if (spectra.size() > 1) {
      pixel = values;
      for (const std::int64_t i : spectra.subspan(1)) {
        read(i, spectrum, values);
        for (std::size_t b = 0; b < bins; ++b) pixel[b] += values[b];
      }
      for (std::size_t b = 0; b < bins; ++b) values[b] = shown.weight(p) * pixel[b];
    }
    double* squares = sums + bins;
    for (std::size_t b = 0; b < bins; ++b) {
      sums[b] += values[b];
      squares[b] += values[b] * values[b];
    }
    if (groups) groups->add(p, values);
  };
  const std::vector<double> total = grouped_sum(n, 2 * bins, threads, cancel, add);
  result.mean.resize(bins);
  result.rms.resize(bins);
  if (groups) {
    result.upper = groups->mean();
    result.groups = groups->count();
  }
  for (std::size_t b = 0; b < bins; ++b) {
    result.mean[b] = total[b] / static_cast<double>(n);
    result.rms[b] = std::sqrt(total[bins + b] / static_cast<double>(n));
  }
  return result;
}

}  // namespace imn::images
