// WindowPlan: the windows of a run, prepared once for a device. Plain C++ without CUDA.
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

// Number of windows after which `reach` restarts; thread blocks of processed files take whole groups.
inline constexpr std::int32_t kWindowGroup = 64;
// The compact axis is cut at multiples of this many bins, so that the rows of the parts are aligned.
inline constexpr std::int32_t kBinTile = 64;

// Which cell of a table an m/z value falls into: the leading bits of the double, which ascend with the value and are
// linear in m/z within an octave, so roughly logarithmic. Uses integers only, so the result is exact on every
// processor.
struct MzCells {
  std::uint64_t origin = 0;  // bits of the smallest value that is not clamped to cell 0
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

// Windows are identified by their position in `windows` (ascending lo); windows.row is their position in the caller's
// list.
//
// Continuous files: the *compact axis* is the shared axis without the bins that no window holds (short gaps are kept).
// A window's bins are [first, last) on it, empty where first == last; `first` ascends. Processed files: lut[cell] =
// number of windows whose lower bound lies in that cell or before, and reach = running maximum of hi that starts afresh
// every kWindowGroup windows. The windows containing a value m are searched downwards from lut[cell of m] - 1: those
// with lo > m are skipped, and if reach < m no earlier window of the group contains it. The order of hi does not
// matter, and a wide window only slows down its group.
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

// The same for a given axis (empty: processed).
WindowPlan make_window_plan(std::span<const double> shared_mz, std::span<const MzWindow> windows);

// The windows [first, last) of a plan, which are binned at once. Strips of one plan may have any length.
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
