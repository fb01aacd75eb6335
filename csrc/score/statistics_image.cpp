#include "score/statistics_image.h"

#include <algorithm>

#include "core/multiversion.h"
#include "preprocess/image_divisor.h"
#include "preprocess/quantile.h"

namespace imn::score {
namespace {

constexpr std::int64_t kRun = 1 << 16;  // short enough for 32-bit counts, which vectorise better than 64-bit ones

IMN_MULTIVERSION std::int64_t find_measured(const preprocess::PixelSource& source, std::int64_t n,
                                            std::uint8_t* __restrict measured) {
  const float* pixels = source.pixels;
  if (source.mask == nullptr) {
    for (std::int64_t i = 0; i < n; ++i) measured[i] = pixels[i] == pixels[i] ? 1 : 0;
  } else {
    const std::uint8_t* mask = source.mask;
    for (std::int64_t i = 0; i < n; ++i) {
      measured[i] = static_cast<std::uint8_t>((pixels[i] == pixels[i] ? 1 : 0) & (mask[i] != 0 ? 1 : 0));
    }
  }
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin < n; begin += kRun) {
    const std::int64_t end = std::min(begin + kRun, n);
    std::int32_t some = 0;
    for (std::int64_t i = begin; i < end; ++i) some += measured[i];
    count += some;
  }
  return count;
}

struct Counts {
  std::int64_t positive = 0;
  std::int64_t unlike_first = 0;  // measured pixels that differ from the first measured one
};

IMN_MULTIVERSION Counts stretch(const float* __restrict pixels, const std::uint8_t* __restrict measured, std::int64_t n,
                                float by, float first, float* __restrict values) {
  Counts counts;
  for (std::int64_t begin = 0; begin < n; begin += kRun) {
    const std::int64_t end = std::min(begin + kRun, n);
    std::int32_t positive = 0;
    std::int32_t unlike_first = 0;
    // Two loops: in a single one, the compiler would turn the selections into branches.
    for (std::int64_t i = begin; i < end; ++i) {
      const float pixel = pixels[i];
      values[i] = preprocess::normalise(measured[i] != 0 ? pixel : 0.0F, by);
    }
    for (std::int64_t i = begin; i < end; ++i) {
      positive += values[i] > 0.0F ? 1 : 0;
      unlike_first += (measured[i] != 0 ? 1 : 0) & (values[i] != first ? 1 : 0);
    }
    counts.positive += positive;
    counts.unlike_first += unlike_first;
  }
  return counts;
}

IMN_MULTIVERSION double sum_of(const float* values, std::int64_t n) {
  Lanes sums{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += static_cast<double>(values[i + static_cast<std::int64_t>(lane)]);
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(values[i]);
  return total(sums);
}

IMN_MULTIVERSION double deviate(const float* __restrict values, const std::uint8_t* __restrict measured, std::int64_t n,
                                double mean, float* __restrict deviations) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto d = static_cast<float>(static_cast<double>(values[i]) - mean);
    deviations[i] = measured[i] != 0 ? d : 0.0F;
  }
  Lanes sums{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto d = static_cast<double>(deviations[i + static_cast<std::int64_t>(lane)]);
      sums[lane] += d * d;
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(deviations[i]) * static_cast<double>(deviations[i]);
  return total(sums);
}

}  // namespace

void normalise_image(const ImageStack& stack, std::int64_t image, preprocess::TopScratch& scratch,
                     NormalisedImage& out) {
  const std::int64_t n = stack.pixels();
  out.height = stack.height;
  out.width = stack.width;
  out.measured.resize(static_cast<std::size_t>(n));
  out.values.resize(static_cast<std::size_t>(n));
  const preprocess::PixelSource source = preprocess::quantile_source(stack, image, true);
  out.n_measured = find_measured(source, n, out.measured.data());
  out.n_positive = 0;
  out.constant = true;
  if (out.n_measured == 0) {
    std::fill(out.values.begin(), out.values.end(), 0.0F);
    return;
  }
  const float by = preprocess::image_divisor(source, n, out.n_measured, scratch);
  const auto first = std::find(out.measured.begin(), out.measured.end(), 1) - out.measured.begin();
  const Counts counts = stretch(source.pixels, out.measured.data(), n, by,
                                preprocess::normalise(source.pixels[first], by), out.values.data());
  out.n_positive = counts.positive;
  // Compared exactly: a rounded mean would turn a constant image into a random ratio.
  out.constant = counts.unlike_first == 0;
}

void take_deviations(NormalisedImage& image) {
  const std::int64_t n = image.pixels();
  image.deviations.resize(static_cast<std::size_t>(n));
  const double mean = sum_of(image.values.data(), n) / static_cast<double>(image.n_measured);
  image.squares = deviate(image.values.data(), image.measured.data(), n, mean, image.deviations.data());
}

}  // namespace imn::score
