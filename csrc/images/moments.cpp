#include "images/moments.h"

#include <algorithm>
#include <cmath>

#include "core/parallel_for.h"
#include "images/grouped_sum.h"
#include "images/mz_window.h"

namespace imn::images {
namespace {

constexpr std::int64_t kSampled = 64;          // spectra looked at for the grid
constexpr std::size_t kSegments = 64;          // stretches of ln(m/z) with a spacing of their own
constexpr std::size_t kMostPoints = 1u << 24;  // of a common grid
constexpr double kGap = 4.0;                   // samples further apart than this many grid steps are not connected

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Values of a profile spectrum at the grid points, 0 where it has no samples nearby. A sampled curve is interpolated
// rather than summed into bins: with bins, a spacing that beats with the grid's shows as ripples in the mean.
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

}  // namespace

std::vector<double> common_grid(const io::Dataset& dataset) {
  const std::int64_t n = dataset.n_spectra();
  const std::int64_t sampled = std::min(n, kSampled);
  std::vector<std::vector<double>> axes;
  for (std::int64_t s = 0; s < sampled; ++s) {
    io::Spectrum spectrum;
    dataset.read_spectrum(s * n / sampled, spectrum);
    auto& mz = spectrum.mz;
    mz.erase(mz.begin(), std::lower_bound(mz.begin(), mz.end(), kLeastMz));
    if (mz.size() > 1) axes.push_back(std::move(mz));
  }
  if (axes.empty()) return {};
  auto [lowest, highest] = dataset.mz_range();
  if (lowest < kLeastMz) {  // where the ions begin, only the samples tell
    lowest = highest;
    for (const auto& axis : axes) lowest = std::min(lowest, axis.front());
  }
  const bool shared = std::all_of(axes.begin(), axes.end(), [&](const auto& axis) { return axis == axes.front(); });
  if (shared && axes.front().front() == lowest && axes.front().back() == highest) return axes.front();

  const double origin = std::log(lowest);
  const double width = (std::log(highest) - origin) / kSegments;
  if (!(width > 0.0)) return {lowest};
  std::vector<std::vector<double>> steps(kSegments);
  for (const auto& axis : axes) {
    for (std::size_t i = 1; i < axis.size(); ++i) {
      const double step = std::log(axis[i] / axis[i - 1]);
      const auto segment =
          static_cast<std::size_t>(std::clamp((std::log(axis[i]) - origin) / width, 0.0, kSegments - 1.0));
      if (step > 0.0) steps[segment].push_back(step);
    }
  }
  std::vector<double> spacing(kSegments, 0.0);
  std::vector<double> all;
  for (std::size_t s = 0; s < kSegments; ++s) {
    all.insert(all.end(), steps[s].begin(), steps[s].end());
    if (!steps[s].empty()) spacing[s] = median(steps[s]);
  }
  const double typical = all.empty() ? width : median(all);
  for (double& s : spacing) {
    if (s <= 0.0) s = typical;
  }
  const double least = std::log(highest / lowest) / static_cast<double>(kMostPoints);
  std::vector<double> grid;
  for (double x = origin; x <= std::log(highest);) {
    grid.push_back(std::exp(x));
    // Spacing interpolated between segment middles, so that it does not jump.
    const double at = std::clamp((x - origin) / width - 0.5, 0.0, kSegments - 1.0);
    const auto below = std::min(static_cast<std::size_t>(at), kSegments - 2);
    const double share = at - static_cast<double>(below);
    x += std::max(least, spacing[below] * (1.0 - share) + spacing[below + 1] * share);
  }
  return grid;
}

Moments moments(const io::Dataset& dataset, int threads, const std::atomic<bool>* cancel) {
  const bool continuous = dataset.mode() == io::Mode::continuous;
  Moments result;
  if (continuous) {
    const auto axis = dataset.shared_mz();
    result.mz.assign(axis.begin(), axis.end());
  } else {
    result.mz = common_grid(dataset);
  }
  const std::size_t bins = result.mz.size();
  const std::int64_t n = dataset.n_spectra();
  if (bins == 0 || n == 0) return result;

  struct Worker {
    io::Spectrum spectrum;
    std::vector<double> values;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(thread_count(threads)));
  const auto add = [&](std::int64_t i, int worker, double* sums) {
    auto& [spectrum, values] = workers[static_cast<std::size_t>(worker)];
    if (continuous) {
      values.resize(bins);
      dataset.read_bins(i, 0, static_cast<std::int64_t>(bins), values.data());
    } else {
      dataset.read_spectrum(i, spectrum);
      interpolate(spectrum, result.mz, values);
    }
    double* squares = sums + bins;
    for (std::size_t b = 0; b < bins; ++b) {
      sums[b] += values[b];
      squares[b] += values[b] * values[b];
    }
  };
  const std::vector<double> total = grouped_sum(n, 2 * bins, threads, cancel, add);
  result.mean.resize(bins);
  result.rms.resize(bins);
  for (std::size_t b = 0; b < bins; ++b) {
    result.mean[b] = total[b] / static_cast<double>(n);
    result.rms[b] = std::sqrt(total[bins + b] / static_cast<double>(n));
  }
  return result;
}

}  // namespace imn::images
