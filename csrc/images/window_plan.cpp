#include "images/window_plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"

namespace imn::images {
namespace {

// Unneeded bins staged rather than starting another run: a run costs a call, a bin four bytes.
constexpr std::int64_t kShortGap = 8;
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

// No stored m/z value is negative, so a negative bound is equivalent to 0.
std::uint64_t bits_of(double bound) { return std::bit_cast<std::uint64_t>(bound > 0.0 ? bound : 0.0); }

void add_reach(WindowPlan& plan) {
  const std::vector<double>& hi = plan.windows.hi;
  plan.reach.reserve(hi.size());
  for (std::size_t w = 0; w < hi.size(); ++w) {
    const bool afresh = w % static_cast<std::size_t>(kWindowGroup) == 0;
    plan.reach.push_back(afresh ? hi[w] : std::max(plan.reach.back(), hi[w]));
  }
}

void add_lookup(WindowPlan& plan) {
  const std::vector<double>& lo = plan.windows.lo;
  MzCells& cells = plan.cells;
  cells.origin = bits_of(lo.front());
  const std::uint64_t range = bits_of(lo.back()) - cells.origin;
  // A few cells a window keep the walk short; the table stays in the caches.
  const std::uint64_t most = std::min<std::uint64_t>(8 * lo.size() + 64, std::uint64_t{1} << 20);
  while ((range >> cells.shift) >= most) ++cells.shift;
  cells.count = static_cast<std::int32_t>(range >> cells.shift) + 1;
  plan.lut.assign(static_cast<std::size_t>(cells.count), 0);
  for (const double bound : lo) ++plan.lut[static_cast<std::size_t>(cells.of(bits_of(bound)))];
  for (std::size_t c = 1; c < plan.lut.size(); ++c) plan.lut[c] += plan.lut[c - 1];
}

void add_bins(WindowPlan& plan, std::span<const double> mz) {
  std::int64_t used = 0;  // length of the compact axis
  std::int32_t before = 0;
  for (std::size_t w = 0; w < plan.windows.size(); ++w) {
    const auto begin = std::lower_bound(mz.begin(), mz.end(), plan.windows.lo[w]);
    const auto end = std::upper_bound(begin, mz.end(), plan.windows.hi[w]);
    const std::int64_t first = begin - mz.begin();
    const std::int64_t last = end - mz.begin();
    if (first == last) {
      plan.first.push_back(before);
      plan.last.push_back(before);
      continue;
    }
    if (plan.runs.empty() || first > plan.runs.back().last + kShortGap) {
      plan.runs.push_back({first, last, static_cast<std::int32_t>(used)});
    } else {
      plan.runs.back().last = std::max(plan.runs.back().last, last);
    }
    const BinRun& run = plan.runs.back();
    used = run.position + (run.last - run.first);
    before = static_cast<std::int32_t>(run.position + (first - run.first));
    plan.first.push_back(before);
    plan.last.push_back(static_cast<std::int32_t>(run.position + (last - run.first)));
  }
  plan.compact_size = static_cast<std::int32_t>(used);
}

}  // namespace

WindowPlan make_window_plan(std::span<const double> shared_mz, std::span<const MzWindow> windows) {
  if (static_cast<std::int64_t>(windows.size()) > kMost || static_cast<std::int64_t>(shared_mz.size()) > kMost) {
    throw ArgumentError("too many m/z windows or bins: a device can handle fewer than 2^31");
  }
  WindowPlan plan{SortedWindows(windows), {}, {}, {}, {}, {}, {}, 0};
  if (windows.empty()) return plan;
  add_reach(plan);
  add_lookup(plan);
  add_bins(plan, shared_mz);
  return plan;
}

WindowPlan make_window_plan(const io::Plane& plane, std::span<const MzWindow> windows) {
  return make_window_plan(plane.spectra().shared_mz(), windows);
}

std::pair<std::int32_t, std::int32_t> strip_bins(const WindowPlan& plan, WindowStrip strip) {
  std::int32_t first = std::numeric_limits<std::int32_t>::max();
  std::int32_t last = 0;
  for (std::int32_t w = strip.first; w < strip.last; ++w) {
    const auto k = static_cast<std::size_t>(w);
    if (plan.first[k] == plan.last[k]) continue;
    first = std::min(first, plan.first[k]);
    last = std::max(last, plan.last[k]);
  }
  if (last == 0) return {0, 0};
  return {first / kBinTile * kBinTile, last};
}

std::pair<double, double> strip_mz(const WindowPlan& plan, WindowStrip strip) {
  const auto begin = plan.windows.hi.begin();
  return {plan.windows.lo[static_cast<std::size_t>(strip.first)],
          *std::max_element(begin + strip.first, begin + strip.last)};
}

}  // namespace imn::images
