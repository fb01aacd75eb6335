#include "score/moran.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <vector>

#include "core/error.h"
#include "core/finite.h"
#include "core/multiversion.h"
#include "core/parallel_for.h"
#include "preprocess/clean_row.h"

namespace imn::score {
namespace {

constexpr std::size_t kLanes = 8;  // independent sums: the compiler may not reorder one sum of doubles
using Lanes = std::array<double, kLanes>;

double total(const Lanes& lanes) {
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

struct Moments {
  double sum = 0.0;
  double count = 0.0;
  float lowest = FLT_MAX;
  float highest = -FLT_MAX;
};

IMN_MULTIVERSION Moments moments(const preprocess::PixelSource& source, std::int64_t n) {
  Moments m;
  Lanes sums{};
  Lanes counts{};
  std::array<float, kLanes> lowest;
  std::array<float, kLanes> highest;
  lowest.fill(FLT_MAX);
  highest.fill(-FLT_MAX);
  const auto add = [&](std::int64_t i, std::size_t lane) {
    const bool measured = is_measured(source, i);
    const float x = measured ? clamp_finite(source.pixels[i]) : 0.0F;
    sums[lane] += static_cast<double>(x);
    counts[lane] += measured ? 1.0 : 0.0;
    lowest[lane] = measured && x < lowest[lane] ? x : lowest[lane];
    highest[lane] = measured && x > highest[lane] ? x : highest[lane];
  };
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) add(i + static_cast<std::int64_t>(lane), lane);
  }
  for (; i < n; ++i) add(i, 0);
  m.sum = total(sums);
  m.count = total(counts);
  m.lowest = *std::min_element(lowest.begin(), lowest.end());
  m.highest = *std::max_element(highest.begin(), highest.end());
  return m;
}

// Deviations from the mean of one line, 0 where not measured, so that products with them vanish; and 1/0 = measured.
IMN_MULTIVERSION void deviations(const preprocess::PixelSource& source, std::int64_t begin, std::int64_t n, double mean,
                                 double* __restrict deviation, double* __restrict measured) {
  for (std::int64_t i = 0; i < n; ++i) {
    const bool here = is_measured(source, begin + i);
    const float x = here ? clamp_finite(source.pixels[begin + i]) : 0.0F;
    deviation[i] = here ? static_cast<double>(x) - mean : 0.0;
    measured[i] = here ? 1.0 : 0.0;
  }
}

IMN_MULTIVERSION double dot(const double* __restrict a, const double* __restrict b, std::int64_t n) {
  Lanes sums{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = i + static_cast<std::int64_t>(lane);
      sums[lane] += a[at] * b[at];
    }
  }
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return total(sums);
}

// Two lines of deviations and of measured flags: the current one and the one above.
struct Scratch {
  std::vector<double> deviation, measured;
};

float moran_of(const ImageStack& stack, std::int64_t image, Scratch& scratch) {
  const preprocess::PixelSource source{stack.image(image), stack.mask, 0.0F};
  const Moments m = moments(source, stack.pixels());
  // Compared exactly: the rounding of the mean would turn a constant image into a random ratio.
  if (m.count == 0.0 || m.lowest == m.highest) return 0.0F;
  const double mean = m.sum / m.count;
  const std::int64_t width = stack.width;
  scratch.deviation.resize(static_cast<std::size_t>(2 * width));
  scratch.measured.resize(static_cast<std::size_t>(2 * width));
  double products = 0.0;
  double squares = 0.0;
  double links = 0.0;
  for (std::int64_t y = 0; y < stack.height; ++y) {
    double* d = scratch.deviation.data() + (y % 2) * width;
    double* w = scratch.measured.data() + (y % 2) * width;
    deviations(source, y * width, width, mean, d, w);
    products += dot(d, d + 1, width - 1);
    links += dot(w, w + 1, width - 1);
    squares += dot(d, d, width);
    if (y > 0) {
      products += dot(d, scratch.deviation.data() + ((y - 1) % 2) * width, width);
      links += dot(w, scratch.measured.data() + ((y - 1) % 2) * width, width);
    }
  }
  return links == 0.0 ? 0.0F : static_cast<float>(m.count / links * products / squares);
}

}  // namespace

void morans_i(const ImageStack& stack, int threads, float* out) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  const int workers = thread_count(threads);
  std::vector<Scratch> scratch(static_cast<std::size_t>(std::min<std::int64_t>(workers, stack.n)));
  parallel_for(stack.n, 8, workers, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = moran_of(stack, i, scratch[static_cast<std::size_t>(worker)]);
    }
  });
}

}  // namespace imn::score
