#include "io/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "io/grid_steps.h"

namespace imn::io {

namespace {

// An image of 100 million pixels takes 400 MB. Grids with more than 1,000 pixels per spectrum are not images.
constexpr std::int64_t kMaxPixels = 100'000'000;
constexpr std::int64_t kAlwaysAccepted = 4'000'000;
constexpr std::int64_t kMaxPixelsPerSpectrum = 1'000;
// As many positions do not share a step of 2 to 4 by chance (less than 1 in 100).
constexpr std::int64_t kSurelyMany = 8;

std::string count_text(std::int64_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

// How many written units the declared pixel size covers: `step` if pixels between those in the file were left out, so
// that the distance of two pixels is that many pixel sizes; 1 if the step is a mere unit of the positions; 0 if nothing
// tells.
std::int64_t sizes_per_step(const AxisSteps& found, std::optional<std::int64_t> declared, double extent, double size) {
  const auto step = static_cast<std::int64_t>(found.step);
  if (found.step >= kSmallestStageStep) return 1;
  const double span = static_cast<double>(found.highest) - static_cast<double>(found.origin);
  const double all = span + 1.0, those = span / static_cast<double>(step) + 1.0;
  auto nearer = [&](double n) { return std::abs(n - all) < std::abs(n - those) ? step : std::int64_t{1}; };
  if (extent > 0.0 && size > 0.0) return nearer(extent / size);
  if (declared) return nearer(static_cast<double>(*declared));
  return 0;
}

void warn_of_steps(const std::array<AxisSteps, 3>& found, const PixelHints& hints, Grid& grid) {
  const bool divided = grid.step[0] != 1 || grid.step[1] != 1;
  const std::string steps = std::to_string(grid.step[0]) + " in x and " + std::to_string(grid.step[1]) + " in y";
  std::string doubt;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const AxisSteps& f = found[axis];
    const std::string name = axis == 0 ? "x" : "y";
    if (f.off > 0) doubt += "; " + count_text(f.off, "spectrum lies", "spectra lie") + " between the steps in " + name;
    if (f.offsets > 1) {
      doubt += "; " + std::to_string(f.offsets) + " different offsets from the steps in " + name + " were rounded off";
    }
    if (f.step > 1 && f.distinct > 0 && f.distinct < kSurelyMany) {
      doubt += "; only " + std::to_string(f.distinct) + " positions in " + name + " show it";
    }
    if (f.not_divided > 1 && f.distinct > 2) {
      grid.warnings.push_back("the " + std::to_string(f.distinct) + " positions in " + name + " lie " +
                              std::to_string(f.not_divided) +
                              " apart; so few may be chance, so that the pixels between them count as not measured");
    }
  }
  if (!divided) return;
  const bool stage = std::max(grid.step[0], grid.step[1]) >= static_cast<std::int64_t>(kSmallestStageStep);
  std::string text = std::string(stage ? "stage coordinates" : "coordinates") + " were divided by their step, " + steps;
  if (!stage && hints.size_um) {
    if (grid.sizes_per_step[0] == 0 || grid.sizes_per_step[1] == 0) {
      text +=
          "; whether pixels between them were left out is not declared, so that the pixel size may be that many "
          "times larger";
    } else if (grid.sizes_per_step[0] > 1 || grid.sizes_per_step[1] > 1) {
      text += "; the pixels between were not measured, so that neighbours lie as many pixel sizes apart";
    }
  }
  grid.warnings.push_back(text + doubt);
}

}  // namespace

std::int64_t largest_grid(std::int64_t n_spectra) {
  return std::min(kMaxPixels, std::max(kAlwaysAccepted, kMaxPixelsPerSpectrum * n_spectra));
}

Grid make_grid(const std::vector<std::int64_t>& raw, const PixelHints& hints, const std::string& path) {
  Grid grid;
  std::array<AxisSteps, 3> found;
  std::array<std::uint64_t, 3> last{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const auto declared = axis == 0 ? hints.count_x : axis == 1 ? hints.count_y : std::nullopt;
    found[axis] = find_steps(raw, axis, declared);
    AxisSteps& f = found[axis];
    f.step = std::min<std::uint64_t>(f.step, std::numeric_limits<std::int64_t>::max());
    grid.origin[axis] = f.origin;
    grid.step[axis] = static_cast<std::int64_t>(f.step);
    last[axis] = (static_cast<std::uint64_t>(f.highest) - static_cast<std::uint64_t>(f.origin)) / f.step;
    if (axis < 2) {
      const auto size = hints.size_um ? (axis == 0 ? hints.size_um->first : hints.size_um->second) : 0.0;
      const auto extent = hints.extent_um ? (axis == 0 ? hints.extent_um->first : hints.extent_um->second) : 0.0;
      if (f.step > 1) grid.sizes_per_step[axis] = sizes_per_step(f, declared, extent, size);
    }
  }
  constexpr std::uint64_t kMaxSide = std::numeric_limits<std::int32_t>::max() - 1;
  if (last[0] >= kMaxSide || last[1] >= kMaxSide || last[2] >= kMaxSide) {
    throw FileError(path, "its coordinates span a grid of " + std::to_string(last[0] + 1) + " x " +
                              std::to_string(last[1] + 1) + " pixels (" + std::to_string(last[2] + 1) + " in z) for " +
                              std::to_string(raw.size() / 3) + " spectra; the limit is " + std::to_string(kMaxSide) +
                              " on each side");
  }
  grid.width = static_cast<std::int32_t>(last[0] + 1);
  grid.height = static_cast<std::int32_t>(last[1] + 1);
  grid.coordinates.resize(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const std::size_t axis = i % 3;
    const std::uint64_t distance = static_cast<std::uint64_t>(raw[i]) - static_cast<std::uint64_t>(grid.origin[axis]);
    grid.coordinates[i] = static_cast<std::int32_t>(distance / static_cast<std::uint64_t>(grid.step[axis])) + 1;
  }
  warn_of_steps(found, hints, grid);
  if (last[2] > 0 && (grid.step[2] != 1 || grid.origin[2] != 1)) {
    grid.warnings.push_back("z planes are numbered from 1: plane k is z = " + std::to_string(grid.origin[2]) + " + " +
                            std::to_string(grid.step[2]) + " * (k - 1) of the file");
  }
  return grid;
}

std::vector<std::int64_t> first_at_position(std::span<const std::int32_t> coordinates,
                                            std::span<const std::int64_t> copies) {
  const std::size_t n = coordinates.size() / 3;
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!copies.empty()) std::erase_if(order, [&](std::int64_t i) { return copies[static_cast<std::size_t>(i)] >= 0; });
  // By position, then file order: the second of two equal neighbours is not the first at its position.
  const std::int32_t* c = coordinates.data();
  auto key = [c](std::int64_t i) { return std::array{c[3 * i + 2], c[3 * i + 1], c[3 * i]}; };
  auto less = [&](std::int64_t a, std::int64_t b) { return key(a) < key(b) || (key(a) == key(b) && a < b); };
  if (!std::is_sorted(order.begin(), order.end(), less)) std::sort(order.begin(), order.end(), less);
  auto same = [&](std::int64_t a, std::int64_t b) { return key(a) == key(b); };
  if (order.size() == n && std::adjacent_find(order.begin(), order.end(), same) == order.end()) return {};
  std::vector<std::int64_t> first(n, -1);
  std::int64_t here = order.front();
  for (const std::int64_t i : order) {
    if (!same(here, i)) here = i;
    first[static_cast<std::size_t>(i)] = here;
  }
  return first;
}

}  // namespace imn::io
