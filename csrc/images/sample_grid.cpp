#include "images/sample_grid.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "images/mz_window.h"
#include "io/spread.h"

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

// Note [left out]: detectors that sample at fixed times give all spectra one axis, and files may leave out what is 0 or
// below a threshold. The m/z of such spectra recur exactly, and all of them together are spaced like the samples of one
// peak. Spectra with axes of their own hardly ever share a value, and rounded m/z recur in steps that no spectrum has.
constexpr std::size_t kPairs = 8;             // of sampled spectra that are compared
constexpr double kRecurring = 0.05;           // least share of values that recur in the other spectrum of a pair
constexpr double kSmallSteps = 0.1;           // quantile of the steps of all values that is their spacing
constexpr double kNarrow = 0.75;              // of the spacing; smaller steps are none
constexpr double kMostNarrow = 0.02;          // share of the steps
constexpr double kFewestNeighbours = 0.1;     // share of the steps of single spectra
constexpr std::size_t kFewestInSegment = 10;  // steps that tell the spacing

double recurring_share(const std::vector<std::vector<double>>& axes) {
  std::size_t recurring = 0;
  std::size_t compared = 0;
  const std::size_t pairs = std::min(kPairs, axes.size() - 1);
  for (std::size_t k = 0; k < pairs; ++k) {
    const auto& a = axes[k * (axes.size() - 1) / pairs];
    const auto& b = axes[k * (axes.size() - 1) / pairs + 1];
    compared += std::min(a.size(), b.size());
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
      if (a[i] == b[j]) ++recurring;
      if (a[i] <= b[j]) {
        ++i;
      } else {
        ++j;
      }
    }
  }
  return compared == 0 ? 0.0 : static_cast<double>(recurring) / static_cast<double>(compared);
}

// Spacing in ln(m/z), interpolated between the centres of segments, so that it does not jump.
struct Spacing {
  double origin, width;  // of the segments
  std::vector<double> of_segment;

  std::size_t segment(double x) const {
    return static_cast<std::size_t>(std::clamp((x - origin) / width, 0.0, kSegments - 1.0));
  }
  double at(double x) const {
    const double position = std::clamp((x - origin) / width - 0.5, 0.0, kSegments - 1.0);
    const auto below = std::min(static_cast<std::size_t>(position), kSegments - 2);
    const double share = position - static_cast<double>(below);
    return of_segment[below] * (1.0 - share) + of_segment[below + 1] * share;
  }
};

void add_between(std::vector<double>& grid, double first, double last, const Spacing& spacing) {
  const double from = std::log(first);
  const double gap = std::log(last) - from;
  const auto steps = std::llround(gap / spacing.at(from + 0.5 * gap));
  for (std::int64_t k = 1; k < steps; ++k) {
    grid.push_back(std::exp(from + gap * static_cast<double>(k) / static_cast<double>(steps)));
  }
}

// The axis that spectra leave points out of; empty if they have axes of their own.
std::vector<double> axis_left_out(const std::vector<std::vector<double>>& axes, double lowest, double highest) {
  if (axes.size() < 2 || recurring_share(axes) < kRecurring) return {};
  std::vector<double> all;
  for (const auto& axis : axes) all.insert(all.end(), axis.begin(), axis.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());

  Spacing spacing{std::log(lowest), (std::log(highest) - std::log(lowest)) / kSegments,
                  std::vector<double>(kSegments, 0.0)};
  if (!(spacing.width > 0.0)) return {};
  std::vector<std::vector<double>> steps(kSegments);
  for (std::size_t i = 1; i < all.size(); ++i) {
    steps[spacing.segment(std::log(all[i]))].push_back(std::log(all[i] / all[i - 1]));
  }
  for (std::size_t s = 0; s < kSegments; ++s) {
    if (steps[s].size() < kFewestInSegment) continue;
    const auto small =
        steps[s].begin() + static_cast<std::ptrdiff_t>(kSmallSteps * static_cast<double>(steps[s].size()));
    std::nth_element(steps[s].begin(), small, steps[s].end());
    spacing.of_segment[s] = *small;
  }
  spacing.of_segment = without_gaps(spacing.of_segment);
  if (*std::min_element(spacing.of_segment.begin(), spacing.of_segment.end()) <= 0.0) return {};
  const auto share_of_steps = [&](const std::vector<double>& axis, double most) {
    std::size_t n = 0;
    for (std::size_t i = 1; i < axis.size(); ++i) {
      const double step = std::log(axis[i] / axis[i - 1]);
      if (step <= most * spacing.at(std::log(axis[i]))) ++n;
    }
    return static_cast<double>(n) / static_cast<double>(std::max<std::size_t>(1, axis.size() - 1));
  };
  if (share_of_steps(all, kNarrow) > kMostNarrow) return {};
  double neighbours = 0.0;
  for (const auto& axis : axes) neighbours += share_of_steps(axis, 2.0 - kNarrow) / static_cast<double>(axes.size());
  if (neighbours < kFewestNeighbours) return {};
  const double least = *std::min_element(spacing.of_segment.begin(), spacing.of_segment.end());
  if (std::log(highest / lowest) / least > static_cast<double>(kMostPoints)) return {};

  std::vector<double> grid{lowest};
  for (const double mz : all) {
    if (mz <= lowest) continue;
    add_between(grid, grid.back(), mz, spacing);
    grid.push_back(mz);
  }
  if (highest > grid.back()) {
    add_between(grid, grid.back(), highest, spacing);
    grid.push_back(highest);
  }
  return grid;
}

}  // namespace

SampleGrid sample_grid(const io::Plane& plane) {
  const auto shown = plane.shown().spectra();
  const auto n = static_cast<std::int64_t>(shown.size());
  const std::int64_t sampled = std::min(n, kSampled);
  std::vector<std::vector<double>> axes;
  for (std::int64_t s = 0; s < sampled; ++s) {
    io::Spectrum spectrum;
    plane.read(shown[static_cast<std::size_t>(io::spread(s, sampled, n))], spectrum);
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
  if (shared && axes.front().front() == lowest && axes.front().back() == highest) return {axes.front(), false};

  if (std::vector<double> axis = axis_left_out(axes, lowest, highest); !axis.empty()) return {std::move(axis), true};

  const double origin = std::log(lowest);
  const double width = (std::log(highest) - origin) / kSegments;
  if (!(width > 0.0)) return {{lowest}, false};
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
  const Spacing local{origin, width, std::move(spacing)};
  const double least = std::log(highest / lowest) / static_cast<double>(kMostPoints);
  std::vector<double> grid;
  for (double x = origin; x <= std::log(highest); x += std::max(least, local.at(x))) grid.push_back(std::exp(x));
  return {std::move(grid), false};
}

}  // namespace imn::images
