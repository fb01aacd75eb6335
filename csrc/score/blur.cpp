#include "score/blur.h"

#include <algorithm>

#include "core/multiversion.h"
#include "score/blur_weights.h"

namespace imn::score {
namespace {

constexpr std::int64_t kRadius = kBlurRadius;

// out[i] = sum over k of weights.at[|k|] * in[i + k * stride], |k| <= kRadius.
IMN_MULTIVERSION void convolve(const float* __restrict in, std::int64_t stride, std::int64_t n,
                               const BlurWeights& weights, float* __restrict out) {
  const float *w = weights.at, w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7],
              w8 = w[8];
  static_assert(kRadius == 8);
  for (std::int64_t i = 0; i < n; ++i) {
    const float* x = in + i;
    float sum = w0 * x[0];
    sum += w1 * (x[-stride] + x[stride]);
    sum += w2 * (x[-2 * stride] + x[2 * stride]);
    sum += w3 * (x[-3 * stride] + x[3 * stride]);
    sum += w4 * (x[-4 * stride] + x[4 * stride]);
    sum += w5 * (x[-5 * stride] + x[5 * stride]);
    sum += w6 * (x[-6 * stride] + x[6 * stride]);
    sum += w7 * (x[-7 * stride] + x[7 * stride]);
    sum += w8 * (x[-8 * stride] + x[8 * stride]);
    out[i] = sum;
  }
}

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
