#include "score/moran.h"

#include "core/multiversion.h"

namespace imn::score {
namespace {

IMN_MULTIVERSION double dot(const float* a, const float* b, std::int64_t n) {
  Lanes sums{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = i + static_cast<std::int64_t>(lane);
      sums[lane] += static_cast<double>(a[at]) * static_cast<double>(b[at]);
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return total(sums);
}

IMN_MULTIVERSION std::int64_t count_both(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += a[i] & b[i];
  return count;
}

}  // namespace

float morans_i(const NormalisedImage& image) {
  const std::int64_t width = image.width;
  double products = 0.0;
  std::int64_t links = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    const float* d = image.deviations.data() + y * width;
    const std::uint8_t* m = image.measured.data() + y * width;
    products += dot(d, d + 1, width - 1);
    links += count_both(m, m + 1, width - 1);
    if (y > 0) {
      products += dot(d, d - width, width);
      links += count_both(m, m - width, width);
    }
  }
  if (links == 0) return 0.0F;
  return static_cast<float>(static_cast<double>(image.n_measured) / static_cast<double>(links) * products /
                            image.squares);
}

}  // namespace imn::score
