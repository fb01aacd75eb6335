#include "images/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "core/parallel_for.h"
#include "images/grouped_sum.h"
#include "images/mz_window.h"

namespace imn::images {
namespace {

constexpr std::int64_t kSampled = 64;          // spectra sampled for the grid
constexpr std::size_t kSegments = 64;          // intervals of ln(m/z), each with its spacing
constexpr std::size_t kMostPoints = 1u << 24;  // of a common grid
constexpr std::size_t kFewestSteps = 3;        // steps that must agree, see Note [gaps]
constexpr std::ptrdiff_t kNear = 8;            // the spacing hardly changes over this many segments
constexpr double kGap = 4.0;                   // samples further apart than this many grid steps are not connected

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::size_t recurrences(std::size_t steps) { return std::max(kFewestSteps, steps / 50); }

// Note [gaps]: files that omit zeros contain a few samples of each peak. Most steps may then be gaps of any size
// between peaks, and the sampling step is the smallest one that recurs: at least `kFewestSteps` times and in two per
// cent of the steps, where steps up to 1.5 times as large count as equal. Returns 0 if no step recurs.
double recurring_step(std::vector<double>& steps) {
  std::sort(steps.begin(), steps.end());
  const std::size_t wanted = recurrences(steps.size());
  for (std::size_t i = 0; i + wanted <= steps.size(); ++i) {
    if (steps[i + wanted - 1] <= 1.5 * steps[i]) return steps[i + wanted / 2];
  }
  return 0.0;
}

// Returns whether recurring_step() may lie far below the median. Avoids sorting all steps for most files.
bool has_small_steps(std::vector<double>& steps, double median) {
  const std::size_t rank = recurrences(steps.size()) / 2;
  if (rank >= steps.size()) return false;
  const auto nth = steps.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(steps.begin(), nth, steps.end());
  return median > kGap * *nth;
}

// If hardly any sample has a neighbour, the recurring step is a gap; nearby segments reveal this.
std::vector<double> without_gaps(const std::vector<double>& spacing) {
  std::vector<double> found = spacing;
  const auto n = static_cast<std::ptrdiff_t>(spacing.size());
  for (std::ptrdiff_t s = 0; s < n; ++s) {
    double least = 0.0;
    for (std::ptrdiff_t t = std::max<std::ptrdiff_t>(0, s - kNear); t < std::min(n, s + kNear + 1); ++t) {
      const double other = spacing[static_cast<std::size_t>(t)];
      if (other > 0.0 && (least == 0.0 || other < least)) least = other;
    }
    double& own = found[static_cast<std::size_t>(s)];
    if (own <= 0.0 || own > kGap * least) own = least;
  }
  return found;
}

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

}  // namespace

std::vector<double> common_grid(const io::Plane& plane) {
  const auto shown = plane.shown().spectra();
  const auto n = static_cast<std::int64_t>(shown.size());
  const std::int64_t sampled = std::min(n, kSampled);
  std::vector<std::vector<double>> axes;
  for (std::int64_t s = 0; s < sampled; ++s) {
    io::Spectrum spectrum;
    plane.read(shown[static_cast<std::size_t>(s * n / sampled)], spectrum);
    auto& mz = spectrum.mz;
    mz.erase(mz.begin(), std::lower_bound(mz.begin(), mz.end(), kLeastMz));
    if (mz.size() > 1) axes.push_back(std::move(mz));
  }
  if (axes.empty()) return {};
  auto [lowest, highest] = plane.mz_range();
  if (lowest < kLeastMz) {  // the first samples then determine the lower end
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
  std::vector<double> all;
  for (const auto& some : steps) all.insert(all.end(), some.begin(), some.end());
  double typical = all.empty() ? width : median(all);
  const double recurring = has_small_steps(all, typical) ? recurring_step(all) : 0.0;
  if (recurring > 0.0 && typical > kGap * recurring) typical = recurring;
  // A stretch of m/z may consist of gaps although most steps of the file do not.
  std::vector<double> spacing(kSegments, 0.0);
  for (std::size_t s = 0; s < kSegments; ++s) {
    if (steps[s].empty()) continue;
    spacing[s] = median(steps[s]);
    if (!has_small_steps(steps[s], spacing[s])) continue;
    const double small = recurring_step(steps[s]);
    if (small == 0.0 || spacing[s] > kGap * small) spacing[s] = small;
  }
  spacing = without_gaps(spacing);
  for (double& s : spacing) {
    if (s <= 0.0) s = typical;
  }
  const double least = std::log(highest / lowest) / static_cast<double>(kMostPoints);
  std::vector<double> grid;
  for (double x = origin; x <= std::log(highest);) {
    grid.push_back(std::exp(x));
    // The spacing is interpolated between segment centres, so it does not jump.
    const double at = std::clamp((x - origin) / width - 0.5, 0.0, kSegments - 1.0);
    const auto below = std::min(static_cast<std::size_t>(at), kSegments - 2);
    const double share = at - static_cast<double>(below);
    x += std::max(least, spacing[below] * (1.0 - share) + spacing[below + 1] * share);
  }
  return grid;
}

Moments moments(const io::Plane& plane, int threads, const std::atomic<bool>* cancel, Upper upper) {
  const bool continuous = plane.spectra().mode() == io::Mode::continuous;
  Moments result;
  if (continuous) {
    const auto axis = plane.spectra().shared_mz();
    result.mz.assign(axis.begin(), axis.end());
  } else {
    result.mz = common_grid(plane);
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
      interpolate(spectrum, result.mz, values);
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
