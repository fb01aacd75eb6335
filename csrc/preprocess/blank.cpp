#include "preprocess/blank.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cstddef>
#include <vector>

#include "core/error.h"
#include "core/finite.h"
#include "core/multiversion.h"
#include "core/parallel_for.h"
#include "preprocess/image_divisor.h"

namespace imn::preprocess {
namespace {

constexpr std::int64_t kPiece = 4096;  // pixels between two looks at whether the answer is known already
constexpr std::size_t kLanes = 16;

struct Extent {
  float lowest = FLT_MAX;
  float highest = -FLT_MAX;
  std::int64_t measured = 0;
};

// Independent lanes: the compiler may not reorder one chain of comparisons.
IMN_MULTIVERSION void widen(const PixelSource& source, std::int64_t begin, std::int64_t end, Extent& extent) {
  std::array<float, kLanes> lowest;
  std::array<float, kLanes> highest;
  std::array<std::int32_t, kLanes> measured{};
  lowest.fill(extent.lowest);
  highest.fill(extent.highest);
  const auto add = [&](std::int64_t i, std::size_t lane) {
    const bool here = is_measured(source, i);
    const float x = clamp_finite(source.pixels[i]);
    lowest[lane] = here && x < lowest[lane] ? x : lowest[lane];
    highest[lane] = here && x > highest[lane] ? x : highest[lane];
    measured[lane] += here ? 1 : 0;
  };
  std::int64_t i = begin;
  for (; i + static_cast<std::int64_t>(kLanes) <= end; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) add(i + static_cast<std::int64_t>(lane), lane);
  }
  for (; i < end; ++i) add(i, 0);
  extent.lowest = *std::min_element(lowest.begin(), lowest.end());
  extent.highest = *std::max_element(highest.begin(), highest.end());
  for (const std::int32_t count : measured) extent.measured += count;
}

bool is_blank(const ImageStack& stack, std::int64_t image, PreprocessId id, TopScratch& scratch) {
  const std::int64_t n = stack.pixels();
  const PixelSource source = quantile_source(stack, image, id);
  Extent extent;
  for (std::int64_t begin = 0; begin < n; begin += kPiece) {
    widen(source, begin, std::min(n, begin + kPiece), extent);
    // The one is clipped to 0 and the other is not, whatever the quantile.
    if (extent.lowest <= 0.0F && extent.highest > 0.0F) return false;
  }
  if (extent.measured == 0 || extent.highest <= 0.0F || extent.lowest == extent.highest) return true;
  const std::int64_t counted = id == PreprocessId::p99_stretch_224_mask ? extent.measured : n;
  const float by = image_divisor(source, n, counted, scratch);
  return normalise(extent.lowest, by) == normalise(extent.highest, by);
}

}  // namespace

void find_blank(const ImageStack& stack, PreprocessId id, int threads, std::uint8_t* out) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  const int workers = thread_count(threads);
  std::vector<TopScratch> scratch(static_cast<std::size_t>(std::min<std::int64_t>(workers, stack.n)));
  parallel_for(stack.n, 8, workers, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = is_blank(stack, i, id, scratch[static_cast<std::size_t>(worker)]) ? 1 : 0;
    }
  });
}

}  // namespace imn::preprocess
