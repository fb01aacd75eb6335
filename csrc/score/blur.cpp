#include "score/blur.h"

#include <algorithm>

#include "core/multiversion.h"
#include "score/blur_weights.h"
#include "score/convolve.h"

namespace imn::score {
namespace {

constexpr std::int64_t kRadius = kBlurRadius;

IMN_MULTIVERSION void add_products(const float* __restrict a, const float* __restrict b, std::int64_t n, Lanes& values,
                                   Lanes& squares) {
  Lanes v = values;
  Lanes s = squares;
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = i + static_cast<std::int64_t>(lane);
      const double x = static_cast<double>(a[at]) * static_cast<double>(b[at]);
      v[lane] += x;
      s[lane] += x * x;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(a[i]) * static_cast<double>(b[i]);
    v[0] += x;
    s[0] += x * x;
  }
  values = v;
  squares = s;
}

}  // namespace

void BlurredVariance::blur_lines(const float* plane) {
  static const BlurWeights weights = gaussian();
  for (std::int64_t y = 0; y < height_; ++y) {
    std::copy_n(plane + y * width_, width_, line_.begin() + kRadius);
    convolve(line_.data() + kRadius, 1, width_, weights, lines_.data() + (y + kRadius) * width_);
  }
}

void BlurredVariance::prepare(const NormalisedImage& image) {
  if (height_ == image.height && width_ == image.width && measured_ == image.measured) return;
  static const BlurWeights weights = gaussian();
  height_ = image.height;
  width_ = image.width;
  measured_ = image.measured;
  line_.assign(static_cast<std::size_t>(width_ + 2 * kRadius), 0.0F);
  lines_.assign(static_cast<std::size_t>((height_ + 2 * kRadius) * width_), 0.0F);
  quotient_.resize(measured_.size());
  const std::vector<float> ones(measured_.begin(), measured_.end());
  blur_lines(ones.data());
  convolve(lines_.data() + kRadius * width_, width_, image.pixels(), weights, quotient_.data());
  for (std::size_t i = 0; i < quotient_.size(); ++i) quotient_[i] = measured_[i] != 0 ? 1.0F / quotient_[i] : 0.0F;
}

float BlurredVariance::operator()(const NormalisedImage& image) {
  static const BlurWeights weights = gaussian();
  prepare(image);
  // Blurs deviations from the mean instead of x: the blur preserves a mean, and float32 is then precise enough for any
  // contrast.
  blur_lines(image.deviations.data());
  Lanes values{};
  Lanes squares{};
  for (std::int64_t y = 0; y < height_; ++y) {
    convolve(lines_.data() + (y + kRadius) * width_, width_, width_, weights, line_.data() + kRadius);
    add_products(line_.data() + kRadius, quotient_.data() + y * width_, width_, values, squares);
  }
  const double n = static_cast<double>(image.n_measured);
  const double sum = total(values);
  return static_cast<float>(std::max(0.0, total(squares) - sum * sum / n) / image.squares);
}

}  // namespace imn::score
