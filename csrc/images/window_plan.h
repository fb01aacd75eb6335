// WindowPlan: the windows of a run prepared for a device, once. Plain C++: nothing here needs CUDA.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/host_device.h"
#include "images/mz_window.h"
#include "images/sorted_windows.h"
#include "io/plane.h"

namespace imn::images {

// Windows after which `reach` starts afresh; thread blocks of processed files take whole groups.
inline constexpr std::int32_t kWindowGroup = 64;
// The compact axis is cut into pieces at multiples of so many bins, whose rows are then aligned.
inline constexpr std::int32_t kBinTile = 64;

// Which cell of a table an m/z value falls into: the leading bits of the double, which ascend with the value and are
// linear in m/z within an octave, so roughly logarithmic. Integers alone: the same on every processor, and exact.
struct MzCells {
  std::uint64_t origin = 0;  // bits of the smallest value that does not fall into cell 0 for being too small
  std::int32_t shift = 0;
  std::int32_t count = 1;

  // `bits`: of a double that is not negative.
  IMN_HOST_DEVICE std::int32_t of(std::uint64_t bits) const {
    if (bits <= origin) return 0;
    const std::uint64_t cell = (bits - origin) >> shift;
    return cell < static_cast<std::uint64_t>(count) ? static_cast<std::int32_t>(cell) : count - 1;
  }
};

// Bins [first, last) of the shared axis, which begin at `position` on the compact axis.
struct BinRun {
  std::int64_t first;
  std::int64_t last;
  std::int32_t position;
};

// Windows are known by their place in `windows` (ascending lo); windows.row says where the caller had them.
//
// Continuous files: the *compact axis* is the shared axis without the bins that no window holds (short gaps stay). A
// window's bins are [first, last) on it, empty where first == last; `first` ascends.
// Processed files: lut[cell] = number of windows whose lower bound lies in that cell or before, and reach = running
// maximum of hi that starts afresh every kWindowGroup windows. The windows that hold a value m are found downwards from
// lut[cell of m] - 1: those with lo > m are skipped, and where reach < m no earlier window of the group holds it. The
// order of hi does not matter, and one wide window costs its own group only.
struct WindowPlan {
  SortedWindows windows;
  std::vector<double> reach;
  MzCells cells;
  std::vector<std::int32_t> lut;
  std::vector<BinRun> runs;
  std::vector<std::int32_t> first, last;
  std::int32_t compact_size = 0;

  std::int32_t size() const { return static_cast<std::int32_t>(windows.size()); }
};

// Bounds as bin_images checks them. Throws ArgumentError for more than 2^31 - 1 windows or bins.
WindowPlan make_window_plan(const io::Plane& plane, std::span<const MzWindow> windows);

// The same for an axis that is given (empty: processed).
WindowPlan make_window_plan(std::span<const double> shared_mz, std::span<const MzWindow> windows);

// The windows [first, last) of a plan: what is binned at a time. Strips of one plan may have any length.
struct WindowStrip {
  std::int32_t first = 0;
  std::int32_t last = 0;
  IMN_HOST_DEVICE std::int32_t size() const { return last - first; }
};

// Compact bins [first, last) that a strip needs, first rounded down to a multiple of kBinTile; (0, 0): none.
std::pair<std::int32_t, std::int32_t> strip_bins(const WindowPlan& plan, WindowStrip strip);

// Smallest lower and largest upper bound of a strip: the m/z range of the peaks it needs.
std::pair<double, double> strip_mz(const WindowPlan& plan, WindowStrip strip);

}  // namespace imn::images
