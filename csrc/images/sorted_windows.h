// Windows in scan order, and the scan of one spectrum over them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "images/mz_window.h"

namespace imn::images {

// First position in [from, values.size()) whose value is not below `bound`; values ascending. Galloping: the cost grows
// with the logarithm of the distance, so short steps stay as cheap as a linear scan.
inline std::size_t gallop(const double* values, std::size_t from, std::size_t size, double bound) {
  if (from >= size || !(values[from] < bound)) return from;
  std::size_t step = 1;
  std::size_t below = from;
  while (below + step < size && values[below + step] < bound) {
    below += step;
    step *= 2;
  }
  const double* end = values + std::min(size, below + step);
  return static_cast<std::size_t>(std::lower_bound(values + below + 1, end, bound) - values);
}

struct SortedWindows {
  std::vector<double> lo;        // ascending
  std::vector<double> hi;        // in the order of lo, need not ascend
  std::vector<double> reach;     // running maximum of hi: ascends, so windows can be skipped by a search
  std::vector<std::size_t> row;  // position in the caller's list

  explicit SortedWindows(std::span<const MzWindow> windows) : row(windows.size()) {
    std::iota(row.begin(), row.end(), std::size_t{0});
    std::stable_sort(row.begin(), row.end(),
                     [&](std::size_t a, std::size_t b) { return windows[a].lo < windows[b].lo; });
    lo.reserve(row.size());
    hi.reserve(row.size());
    reach.reserve(row.size());
    for (const std::size_t w : row) {
      lo.push_back(windows[w].lo);
      hi.push_back(windows[w].hi);
      reach.push_back(reach.empty() ? windows[w].hi : std::max(reach.back(), windows[w].hi));
    }
  }

  std::size_t size() const { return lo.size(); }
};

// Calls visit(window, first, last) for every sorted window that holds the peaks [first, last) of `mz` (ascending).
template <typename Visit>
void scan_windows(const SortedWindows& windows, const double* mz, std::size_t n, Visit&& visit) {
  const std::size_t count = windows.size();
  std::size_t w = 0;
  std::size_t start = 0;  // first peak at or above lo[w]
  while (w < count) {
    start = gallop(mz, start, n, windows.lo[w]);
    if (start >= n) return;
    if (mz[start] > windows.hi[w]) {
      // Every window up to the first one that reaches this peak is empty: it begins at or below the peak and ends
      // before it, or it lies behind all the peaks that were passed.
      const std::size_t next = gallop(windows.reach.data(), w + 1, count, mz[start]);
      w = next;
      continue;
    }
    std::size_t last = start + 1;
    while (last < n && mz[last] <= windows.hi[w]) ++last;
    visit(w, start, last);
    ++w;
  }
}

}  // namespace imn::images
