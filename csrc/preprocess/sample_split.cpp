#include "preprocess/sample_split.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/parallel_for.h"

namespace imn::preprocess {
namespace {

constexpr int kSteps = 5;
constexpr std::size_t kBins = 128;

double log_ratio(double a, double b) { return std::log(a / b); }

// Means of a row over the upper and the lower group.
std::pair<double, double> group_means(const double* row, const Flags& upper, std::int64_t n_upper) {
  double above = 0.0;
  double below = 0.0;
  for (std::size_t p = 0; p < upper.size(); ++p) (upper[p] != 0 ? above : below) += row[p];
  const auto n = static_cast<std::int64_t>(upper.size());
  return {above / static_cast<double>(n_upper), below / static_cast<double>(n - n_upper)};
}

// Whether each block that is there, in raster order, has four neighbours that are.
Flags enclosed(const BlockGrid& grid) {
  Flags out;
  for (std::int64_t y = 0; y < grid.height; ++y) {
    for (std::int64_t x = 0; x < grid.width; ++x) {
      const auto p = static_cast<std::size_t>(y * grid.width + x);
      if (grid.there[p] == 0) continue;
      const auto w = static_cast<std::size_t>(grid.width);
      const bool inner = y > 0 && x > 0 && y + 1 < grid.height && x + 1 < grid.width && grid.there[p - w] != 0 &&
                         grid.there[p + w] != 0 && grid.there[p - 1] != 0 && grid.there[p + 1] != 0;
      out.push_back(std::uint8_t{inner});
    }
  }
  return out;
}

// Structure within the upper group, compared with that within the lower one.
double log_structure_ratio(const SplitInput& input, const Flags& upper) {
  Flags inside(input.grid.there.size());
  Flags outside(input.grid.there.size());
  std::size_t k = 0;
  for (std::size_t p = 0; p < inside.size(); ++p) {
    if (input.grid.there[p] == 0) continue;
    inside[p] = upper[k];
    outside[p] = upper[k] == 0;
    ++k;
  }
  std::vector<std::array<double, 2>> each(input.votes.size());
  parallel_for(input.roots.n, 1, input.threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t c = begin; c < end; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const double scale = input.votes[i] / input.variance[i];
      each[i] = {std::max(structure(input.roots.row(c), input.grid, inside).covariance, 0.0) * scale,
                 std::max(structure(input.roots.row(c), input.grid, outside).covariance, 0.0) * scale};
    }
  });
  double sum_inside = 1e-3;
  double sum_outside = 1e-3;
  for (const auto& [a, b] : each) {
    sum_inside += a;
    sum_outside += b;
  }
  return log_ratio(sum_inside, sum_outside);
}

// Share of the upper group, less its share of the border of the measured area.
double border_avoidance(const BlockGrid& grid, const Flags& upper, double share) {
  const Flags inner = enclosed(grid);
  double border = 0.0;
  double border_upper = 0.0;
  for (std::size_t p = 0; p < upper.size(); ++p) {
    border += inner[p] == 0 ? 1.0 : 0.0;
    border_upper += inner[p] == 0 && upper[p] != 0 ? 1.0 : 0.0;
  }
  return share - border_upper / border;  // there are always blocks at the border
}

void weigh(const SplitInput& input, const std::vector<std::uint8_t>& on, std::int64_t n_upper, Split& found) {
  const double share = static_cast<double>(n_upper) / static_cast<double>(found.upper.size());
  const double common = 0.75 * std::min(found.separation, 7.0) + 2.0 * std::log(4.0 * share * (1.0 - share)) - 8.0;
  const double oriented = 0.7 * std::clamp(log_structure_ratio(input, found.upper), -2.5, 2.5) +
                          8.0 * border_avoidance(input.grid, found.upper, share);
  // Levels of the channels that are brighter in the upper group (1) and of the others (0), in both groups.
  std::array<double, 2> in_upper{0.02, 0.02};
  std::array<double, 2> in_lower{0.02, 0.02};
  for (std::int64_t c = 0; c < input.smooth.n; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const auto [upper, lower] = group_means(input.smooth.row(c), found.upper, n_upper);
    in_upper[on[i]] += input.votes[i] * upper;
    in_lower[on[i]] += input.votes[i] * lower;
  }
  found.log_odds_upper = common + oriented + 1.5 * log_ratio(in_upper[1], in_lower[1]);
  found.log_odds_lower = common - oriented + 1.5 * log_ratio(in_lower[0], in_upper[0]);
}

double separation_of(const Split& found, std::int64_t n_upper) {
  const auto [upper, lower] = group_means(found.position.data(), found.upper, n_upper);
  double above = 0.0;
  double below = 0.0;
  for (std::size_t p = 0; p < found.upper.size(); ++p) {
    const double d = found.position[p] - (found.upper[p] != 0 ? upper : lower);
    (found.upper[p] != 0 ? above : below) += d * d;
  }
  const auto n = static_cast<std::int64_t>(found.upper.size());
  const double variance = above / static_cast<double>(n_upper) + below / static_cast<double>(n - n_upper);
  return (upper - lower) / std::max(std::sqrt(variance / 2.0), 1e-9);
}

}  // namespace

double otsu_threshold(const std::vector<double>& values) {
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  const double low = *lowest;
  const double width = (*highest - low) / static_cast<double>(kBins);
  if (!(width > 0.0)) return *highest;
  std::array<double, kBins> counts{};
  for (const double value : values) {
    counts[std::min(static_cast<std::size_t>((value - low) / width), kBins - 1)] += 1.0;
  }
  const auto centre = [&](std::size_t bin) { return low + (static_cast<double>(bin) + 0.5) * width; };
  const auto total = static_cast<double>(values.size());
  double everything = 0.0;
  for (std::size_t bin = 0; bin < kBins; ++bin) everything += counts[bin] * centre(bin);
  double below = 0.0;
  double sum = 0.0;
  double best = -std::numeric_limits<double>::infinity();
  std::size_t found = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    below += counts[bin];
    sum += counts[bin] * centre(bin);
    const double above = total - below;
    if (!(below > 0.0) || !(above > 0.0)) continue;
    const double gap = sum / below - (everything - sum) / above;
    const double between = below * above * gap * gap;
    if (between > best) {
      best = between;
      found = bin;
    }
  }
  return low + static_cast<double>(found + 1) * width;
}

std::optional<Split> split(const SplitInput& input, std::vector<double> direction) {
  const std::int64_t n = input.standard.size;
  const std::int64_t channels = input.standard.n;
  Split found;
  std::vector<std::uint8_t> on(direction.size());
  std::int64_t n_upper = 0;
  for (int step = 0; step <= kSteps; ++step) {
    found.position.assign(static_cast<std::size_t>(n), 0.0);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double weight = direction[static_cast<std::size_t>(c)];
      const double* row = input.standard.row(c);
      for (std::int64_t p = 0; p < n; ++p) found.position[static_cast<std::size_t>(p)] += weight * row[p];
    }
    const double threshold = otsu_threshold(found.position);
    found.upper.assign(static_cast<std::size_t>(n), 0);
    n_upper = 0;
    for (std::size_t p = 0; p < found.upper.size(); ++p) {
      found.upper[p] = found.position[p] > threshold;
      n_upper += found.upper[p];
    }
    if (n_upper == 0 || n_upper == n) return std::nullopt;
    const double share = static_cast<double>(n_upper) / static_cast<double>(n);
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const auto [upper, lower] = group_means(input.standard.row(c), found.upper, n_upper);
      const double contrast = upper - lower;
      on[i] = contrast > 0.0;
      if (step < kSteps) {
        direction[i] = input.votes[i] * contrast / (1.1 - share * (1.0 - share) * contrast * contrast);
      }
    }
  }
  found.separation = separation_of(found, n_upper);
  weigh(input, on, n_upper, found);
  return found;
}

}  // namespace imn::preprocess
