#include "io/grid.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace imn::io {

namespace {

// An image of 100 million pixels takes 400 MB. Grids with more than 1,000 pixels per spectrum are not images.
constexpr std::int64_t kMaxPixels = 100'000'000;
constexpr std::int64_t kAlwaysAccepted = 4'000'000;
constexpr std::int64_t kMaxPixelsPerSpectrum = 1'000;

// Smaller steps count as pixels left out on purpose, unless the file declares a smaller grid.
constexpr std::uint64_t kSmallestStageStep = 5;

// Greatest common divisor of the distances from the smallest value; 0 if all are equal. Unsigned: distances of any two
// int64 fit.
std::uint64_t common_step(const std::vector<std::int64_t>& raw, std::size_t axis, std::int64_t origin) {
  std::uint64_t step = 0;
  for (std::size_t i = axis; i < raw.size() && step != 1; i += 3) {
    step = std::gcd(step, static_cast<std::uint64_t>(raw[i]) - static_cast<std::uint64_t>(origin));
  }
  return step;
}

}  // namespace

Grid make_grid(const std::vector<std::int64_t>& raw, std::optional<std::int64_t> declared_x,
               std::optional<std::int64_t> declared_y, const std::string& path) {
  Grid grid;
  const std::size_t n = raw.size() / 3;
  std::array<std::uint64_t, 3> last{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    std::int64_t lowest = std::numeric_limits<std::int64_t>::max();
    std::int64_t highest = std::numeric_limits<std::int64_t>::min();
    for (std::size_t i = axis; i < raw.size(); i += 3) {
      lowest = std::min(lowest, raw[i]);
      highest = std::max(highest, raw[i]);
    }
    const std::uint64_t span = static_cast<std::uint64_t>(highest) - static_cast<std::uint64_t>(lowest);
    std::uint64_t step = common_step(raw, axis, lowest);
    const auto declared = axis == 0 ? declared_x : axis == 1 ? declared_y : std::nullopt;
    const bool declared_smaller = declared && *declared > 0 && span >= static_cast<std::uint64_t>(*declared);
    if (step < kSmallestStageStep && !(step > 1 && declared_smaller)) step = 1;
    grid.origin[axis] = lowest;
    grid.step[axis] =
        static_cast<std::int64_t>(std::min<std::uint64_t>(step, std::numeric_limits<std::int64_t>::max()));
    last[axis] = span / static_cast<std::uint64_t>(grid.step[axis]);
  }
  const std::int64_t limit =
      std::min(kMaxPixels, std::max(kAlwaysAccepted, kMaxPixelsPerSpectrum * static_cast<std::int64_t>(n)));
  constexpr std::uint64_t kMaxSide = std::numeric_limits<std::int32_t>::max() - 1;
  const bool fits = last[0] < kMaxSide && last[1] < kMaxSide && last[2] < kMaxSide &&
                    static_cast<std::int64_t>(last[0] + 1) <= limit / static_cast<std::int64_t>(last[1] + 1);
  if (!fits) {
    throw FileError(path, "its coordinates span a grid of " + std::to_string(last[0] + 1) + " x " +
                              std::to_string(last[1] + 1) + " pixels (" + std::to_string(last[2] + 1) + " in z) for " +
                              std::to_string(n) + " spectra; the limit is " + std::to_string(limit) + " pixels");
  }
  grid.width = static_cast<std::int32_t>(last[0] + 1);
  grid.height = static_cast<std::int32_t>(last[1] + 1);
  grid.coordinates.resize(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const std::size_t axis = i % 3;
    const std::uint64_t distance = static_cast<std::uint64_t>(raw[i]) - static_cast<std::uint64_t>(grid.origin[axis]);
    grid.coordinates[i] = static_cast<std::int32_t>(distance / static_cast<std::uint64_t>(grid.step[axis])) + 1;
  }
  if (grid.step[0] != 1 || grid.step[1] != 1) {
    grid.warnings.push_back("stage coordinates were divided by their step, " + std::to_string(grid.step[0]) +
                            " in x and " + std::to_string(grid.step[1]) + " in y");
  }
  if (last[2] > 0 && (grid.step[2] != 1 || grid.origin[2] != 1)) {
    grid.warnings.push_back("z planes are numbered from 1: plane k is z = " + std::to_string(grid.origin[2]) + " + " +
                            std::to_string(grid.step[2]) + " * (k - 1) of the file");
  }
  return grid;
}

std::vector<std::int64_t> first_at_position(std::span<const std::int32_t> coordinates) {
  const std::size_t n = coordinates.size() / 3;
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  // By position, then file order: the second of two equal neighbours is not the first at its position.
  const std::int32_t* c = coordinates.data();
  auto key = [c](std::int64_t i) { return std::array{c[3 * i + 2], c[3 * i + 1], c[3 * i]}; };
  auto less = [&](std::int64_t a, std::int64_t b) { return key(a) < key(b) || (key(a) == key(b) && a < b); };
  if (!std::is_sorted(order.begin(), order.end(), less)) std::sort(order.begin(), order.end(), less);
  auto same = [&](std::int64_t a, std::int64_t b) { return key(a) == key(b); };
  if (std::adjacent_find(order.begin(), order.end(), same) == order.end()) return {};
  std::vector<std::int64_t> first(n);
  std::int64_t here = order.front();
  for (const std::int64_t i : order) {
    if (!same(here, i)) here = i;
    first[static_cast<std::size_t>(i)] = here;
  }
  return first;
}

}  // namespace imn::io
