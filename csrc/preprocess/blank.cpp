#include "preprocess/blank.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/multiversion.h"
#include "core/parallel_for.h"
#include "preprocess/clean_row.h"
#include "preprocess/image_divisor.h"
#include "preprocess/quantile.h"

namespace imn::preprocess {
namespace {

constexpr std::size_t kRun = 2048;  // pixels between checks for an early answer
constexpr std::size_t kLanes = 16;  // independent, because the compiler may not reorder a chain of comparisons
constexpr float kNotMeasured = std::numeric_limits<float>::quiet_NaN();
static_assert(kRun % kLanes == 0);

using Run = std::array<float, kRun>;

struct Extent {
  float lowest = std::numeric_limits<float>::infinity();
  float highest = -std::numeric_limits<float>::infinity();
  std::int64_t measured = 0;
};

IMN_MULTIVERSION void load(const PixelSource& source, std::int64_t begin, std::int64_t n, Run& run) {
  clean_row(source, begin, n, run.data());
  std::fill(run.begin() + n, run.end(), kNotMeasured);
}

// Ignores NaN, because comparisons with it are false.
IMN_MULTIVERSION void widen(const Run& run, Extent& extent) {
  std::array<float, kLanes> lowest;
  std::array<float, kLanes> highest;
  std::array<std::int32_t, kLanes> measured{};
  lowest.fill(extent.lowest);
  highest.fill(extent.highest);
  for (std::size_t i = 0; i < kRun; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float x = run[i + lane];
      lowest[lane] = x < lowest[lane] ? x : lowest[lane];
      highest[lane] = x > highest[lane] ? x : highest[lane];
      measured[lane] += x == x ? 1 : 0;
    }
  }
  extent.lowest = *std::min_element(lowest.begin(), lowest.end());
  extent.highest = *std::max_element(highest.begin(), highest.end());
  for (const std::int32_t count : measured) extent.measured += count;
}

IMN_MULTIVERSION std::int64_t count_above(const Run& run, float value) {
  std::int32_t count = 0;
  for (const float x : run) count += x > value ? 1 : 0;
  return count;
}

// Note [blank]: the first runs of pixels prove that nearly every image is not blank. Either one pixel is clipped to 0
// and another is not; or so many pixels exceed a bound, which is at least the lowest pixel and kSmallestDivisor, that
// the quantile exceeds it too. Divided by the quantile, the lowest pixel is then below 1 and the highest is not.
bool is_blank(const ImageStack& stack, std::int64_t image, bool measured_only, TopScratch& scratch) {
  const std::int64_t n = stack.pixels();
  const PixelSource pixels{stack.image(image), stack.mask, kNotMeasured};
  // At least one more than needed, however many pixels are measured.
  const std::int64_t top_share = n - quantile_rank(n).below + 1;
  Run run;
  Extent extent;
  float bound = kNotMeasured;
  std::int64_t above = 0;
  for (std::int64_t begin = 0; begin < n; begin += kRun) {
    load(pixels, begin, std::min<std::int64_t>(kRun, n - begin), run);
    widen(run, extent);
    if (extent.lowest <= 0.0F && extent.highest > 0.0F) return false;
    if (bound != bound && extent.measured > 0) bound = std::max(extent.lowest, kSmallestDivisor);
    above += count_above(run, bound);
    if (above >= top_share) return false;
  }
  if (extent.measured == 0 || extent.highest <= 0.0F) return true;
  const PixelSource source = quantile_source(stack, image, measured_only);
  const std::int64_t counted = measured_only ? extent.measured : n;
  const float by = image_divisor(source, n, counted, scratch);
  return normalise(extent.lowest, by) == normalise(extent.highest, by);
}

}  // namespace

void find_blank(const ImageStack& stack, bool measured_only, int threads, std::uint8_t* out) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  const int workers = thread_count(threads);
  std::vector<TopScratch> scratch(static_cast<std::size_t>(std::min<std::int64_t>(workers, stack.n)));
  parallel_for(stack.n, 8, workers, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = is_blank(stack, i, measured_only, scratch[static_cast<std::size_t>(worker)]) ? 1 : 0;
    }
  });
}

}  // namespace imn::preprocess
