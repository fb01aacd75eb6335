#include "io/grid_checks.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_set>

#include "core/error.h"
#include "io/parse_number.h"
#include "io/regions.h"

namespace imn::io {

namespace {

// Fewer spectra have neighbours by chance only, so that nothing follows from it.
constexpr std::int64_t kFewestToJudge = 16;

std::string spectra_text(std::int64_t n) { return std::to_string(n) + (n == 1 ? " spectrum has" : " spectra have"); }

// Linear index of each pixel that has a spectrum, whatever its z; ascending, each once.
std::vector<std::int64_t> measured_pixels(const Grid& grid) {
  const std::vector<std::int32_t>& c = grid.coordinates;
  std::vector<std::int64_t> pixels;
  pixels.reserve(c.size() / 3);
  for (std::size_t i = 0; i < c.size(); i += 3) pixels.push_back(std::int64_t{c[i + 1] - 1} * grid.width + c[i] - 1);
  if (!std::is_sorted(pixels.begin(), pixels.end())) std::sort(pixels.begin(), pixels.end());
  pixels.erase(std::unique(pixels.begin(), pixels.end()), pixels.end());
  return pixels;
}

void warn_of_lonely_pixels(const Grid& grid, std::vector<std::string>& warnings) {
  const std::vector<std::int64_t> pixels = measured_pixels(grid);
  const auto n = static_cast<std::int64_t>(pixels.size());
  // Where a quarter of the grid is measured, nine in ten pixels cannot be without neighbours.
  if (n < kFewestToJudge || n > std::int64_t{grid.width} * grid.height / 4) return;
  std::int64_t lonely = 0;
  for (const std::int64_t p : pixels) {
    bool found = false;
    for (std::int64_t dy = -1; dy <= 1 && !found; ++dy) {
      const std::int64_t x = p % grid.width, from = std::max<std::int64_t>(x - 1, 0);
      const std::int64_t to = std::min<std::int64_t>(x + 1, grid.width - 1);
      const std::int64_t row = p - x + dy * grid.width;
      auto at = std::lower_bound(pixels.begin(), pixels.end(), row + from);
      if (at != pixels.end() && *at == p) ++at;
      found = at != pixels.end() && *at <= row + to;
    }
    lonely += !found;
  }
  if (10 * lonely <= 9 * n) return;
  warnings.push_back(
      std::to_string(lonely) + " of " + std::to_string(n) +
      " pixels have no measured neighbour: the positions may count something finer than pixels, or are "
      "not exact; images will be mostly empty and scores mean little; write pixel numbers into the file");
}

void warn_of_counts(const Grid& grid, const PixelHints& hints, std::vector<std::string>& warnings) {
  std::string text;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const auto& declared = axis == 0 ? hints.count_x : hints.count_y;
    if (!declared || *declared >= (axis == 0 ? grid.width : grid.height)) continue;
    // The count may be that of the occupied columns.
    std::vector<bool> seen(static_cast<std::size_t>(axis == 0 ? grid.width : grid.height));
    std::int64_t distinct = 0;
    for (std::size_t i = axis; i < grid.coordinates.size(); i += 3) {
      const auto at = static_cast<std::size_t>(grid.coordinates[i] - 1);
      if (!seen[at]) ++distinct;
      seen[at] = true;
    }
    if (distinct <= *declared) continue;
    text += (text.empty() ? "" : " and ") + std::to_string(distinct) +
            (axis == 0 ? " columns where the header declares " : " rows where the header declares ") +
            std::to_string(*declared);
  }
  if (!text.empty()) {
    warnings.push_back("the positions have " + text +
                       "; x and y may be swapped, or the header belongs to another file: compare the images");
  }
}

// Lines without any spectrum, between others that have some. `found`: within regions; null: of the whole grid.
std::int64_t missing_lines(const Grid& grid, std::size_t axis, const Regions* found) {
  const auto size = static_cast<std::size_t>(axis == 0 ? grid.width : grid.height);
  std::vector<bool> seen(size);
  for (std::size_t i = 0; i < grid.coordinates.size() / 3; ++i) {
    if (found != nullptr && found->of_spectrum[i] == 0) continue;
    seen[static_cast<std::size_t>(grid.coordinates[3 * i + axis] - 1)] = true;
  }
  std::int64_t missing = 0, gap = kRegionReach;
  for (const bool line : seen) {
    // More lines in a row lie between regions.
    if (line && gap < kRegionReach) missing += gap;
    gap = line ? 0 : gap + 1;
  }
  return missing;
}

void warn_of_gaps(const Grid& grid, std::vector<std::string>& warnings) {
  std::int64_t rows = missing_lines(grid, 1, nullptr), columns = missing_lines(grid, 0, nullptr);
  const auto n = static_cast<std::int64_t>(grid.coordinates.size() / 3);
  const auto pixels = std::int64_t{grid.width} * grid.height;
  // The usual case has no gaps and is nearly full: nothing more to look for.
  if (rows + columns == 0 && 2 * n >= pixels) return;
  const Regions found = find_regions(grid.coordinates);
  std::int64_t left = grid.width, top = grid.height, right = 0, bottom = 0, in_boxes = 0, in_regions = 0;
  for (const Region& r : found.regions) {
    left = std::min<std::int64_t>(left, r.x0);
    top = std::min<std::int64_t>(top, r.y0);
    right = std::max<std::int64_t>(right, r.x0 + r.width);
    bottom = std::max<std::int64_t>(bottom, r.y0 + r.height);
    in_boxes += std::int64_t{r.width} * r.height;
    in_regions += r.n_pixels;
  }
  if (in_regions < kFewestToJudge) return;
  // Fragments beside a region have empty lines between them and it.
  rows = missing_lines(grid, 1, &found);
  columns = missing_lines(grid, 0, &found);
  // Scattered spots leave lines out by chance; they fill less of their box.
  if (rows + columns > 0 && 2 * in_regions >= in_boxes && 4 * rows < grid.height && 4 * columns < grid.width) {
    std::string text;
    if (rows > 0) text = std::to_string(rows) + (rows == 1 ? " row" : " rows");
    if (columns > 0) {
      text += (text.empty() ? "" : " and ") + std::to_string(columns) + (columns == 1 ? " column" : " columns");
    }
    warnings.push_back(text + " within the section hold no spectrum: lines are missing, and count as not measured");
  }
  if (found.left_out > 0 && (right - left) * (bottom - top) * 2 <= pixels) {
    warnings.push_back(
        std::to_string(found.left_out) + (found.left_out == 1 ? " stray pixel lies" : " stray pixels lie") +
        " far from the rest and widen the grid from " + std::to_string(right - left) + " x " +
        std::to_string(bottom - top) + " to " + std::to_string(grid.width) + " x " + std::to_string(grid.height) +
        " pixels (width x height); --regions each (Python: ds.region(k)) leaves them out");
  }
}

}  // namespace

void fill_z(std::vector<std::int64_t>& raw, std::vector<std::string>& warnings) {
  std::int64_t absent = 0, lowest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 2; i < raw.size(); i += 3) {
    if (raw[i] == kAbsent) {
      ++absent;
    } else {
      lowest = std::min(lowest, raw[i]);
    }
  }
  if (absent == 0) return;
  std::int64_t z = 0;
  if (absent < static_cast<std::int64_t>(raw.size() / 3)) {
    struct Hash {
      std::size_t operator()(const std::array<std::int64_t, 2>& p) const {
        return std::hash<std::int64_t>{}(p[0] * 1'000'003 + p[1]);
      }
    };
    std::unordered_set<std::array<std::int64_t, 2>, Hash> taken;
    for (std::size_t i = 0; i < raw.size(); i += 3) {
      if (raw[i + 2] == lowest) taken.insert({raw[i], raw[i + 1]});
    }
    bool free = true;
    for (std::size_t i = 0; i < raw.size() && free; i += 3) {
      free = raw[i + 2] != kAbsent || taken.find({raw[i], raw[i + 1]}) == taken.end();
    }
    const std::string without = spectra_text(absent) + " no z, the others have one; ";
    if (free) {
      z = lowest;
      warnings.push_back(without + "they lie on other pixels and are read as part of z = " + std::to_string(lowest));
    } else {
      z = lowest > 0 ? 0 : lowest - 1;
      warnings.push_back(without + "they lie on pixels that z = " + std::to_string(lowest) +
                         " has too and are read as a plane of their own, z = " + std::to_string(z));
    }
  }
  for (std::size_t i = 2; i < raw.size(); i += 3) {
    if (raw[i] == kAbsent) raw[i] = z;
  }
}

void check_grid(const Grid& grid, const PixelHints& hints, std::size_t n_spectra, const std::string& path,
                std::vector<std::string>& warnings) {
  const std::int64_t limit = largest_grid(static_cast<std::int64_t>(n_spectra));
  const std::int64_t n_pixels = std::int64_t{grid.width} * grid.height;
  if (n_pixels > limit) {
    // Regions far apart are images, each of them; a few stray positions beside them do no harm.
    const Regions found = find_regions(grid.coordinates);
    std::int64_t in_boxes = 0, in_regions = 0;
    for (const Region& region : found.regions) {
      if (region.n_pixels < kSmallestRegion) continue;
      in_boxes += std::int64_t{region.width} * region.height;
      in_regions += region.n_pixels;
    }
    const std::string text = "its coordinates span a grid of " + std::to_string(grid.width) + " x " +
                             std::to_string(grid.height) + " pixels (width x height) for " + std::to_string(n_spectra) +
                             " spectra; the limit is " + std::to_string(limit) + " pixels";
    if (in_boxes > limit || in_regions < 9 * found.left_out) throw FileError(path, text);
    warnings.push_back(text + ", so that its " + std::to_string(found.regions.size()) +
                       (found.regions.size() == 1 ? " region is" : " regions are") +
                       " opened one at a time: --regions each (Python: ds.region(k))");
    return;
  }
  warn_of_lonely_pixels(grid, warnings);
  warn_of_gaps(grid, warnings);
  warn_of_counts(grid, hints, warnings);
}

}  // namespace imn::io
