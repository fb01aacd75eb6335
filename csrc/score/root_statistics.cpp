#include "score/root_statistics.h"

#include <algorithm>
#include <cmath>

#include "core/multiversion.h"
#include "score/blur_weights.h"
#include "score/convolve.h"

namespace imn::score {
namespace {

constexpr std::int64_t kRadius = kBlurRadius;

IMN_MULTIVERSION void take_roots(const float* __restrict values, std::int64_t n, float* __restrict roots) {
  for (std::int64_t i = 0; i < n; ++i) roots[i] = std::sqrt(values[i]);
}

IMN_MULTIVERSION bool differs(const float* __restrict roots, const float* __restrict measured, std::int64_t n,
                              float first) {
  bool some = false;
  for (std::int64_t i = 0; i < n; ++i) some |= (measured[i] != 0.0F) & (roots[i] != first);
  return some;
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

// Replaces the values by their deviations from `mean`, 0 where not measured. Returns the sum of their squares.
IMN_MULTIVERSION double deviate(const float* __restrict measured, std::int64_t n, double mean,
                                float* __restrict values) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto d = static_cast<float>(static_cast<double>(values[i]) - mean);
    values[i] = measured[i] != 0.0F ? d : 0.0F;
  }
  Lanes sums{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto d = static_cast<double>(values[i + static_cast<std::int64_t>(lane)]);
      sums[lane] += d * d;
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return total(sums);
}

IMN_MULTIVERSION void multiply(const float* __restrict a, const float* __restrict b, std::int64_t n,
                               float* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

struct Sums {
  double values, squares;
};

IMN_MULTIVERSION Sums sum_products(const float* __restrict a, const float* __restrict b, std::int64_t n) {
  Lanes values{};
  Lanes squares{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = i + static_cast<std::int64_t>(lane);
      const double x = static_cast<double>(a[at]) * static_cast<double>(b[at]);
      values[lane] += x;
      squares[lane] += x * x;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(a[i]) * static_cast<double>(b[i]);
    values[0] += x;
    squares[0] += x * x;
  }
  return {total(values), total(squares)};
}

// The sums of the halves `first` * by_first and (`all` - `first`) * by_second; n is left 0.
IMN_MULTIVERSION HalfSums sum_halves(const float* __restrict all, const float* __restrict first,
                                     const float* __restrict by_first, const float* __restrict by_second,
                                     std::int64_t n) {
  Lanes a{}, b{}, aa{}, bb{}, ab{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = i + static_cast<std::int64_t>(lane);
      const double x = static_cast<double>(first[at]) * static_cast<double>(by_first[at]);
      const double y = static_cast<double>(all[at] - first[at]) * static_cast<double>(by_second[at]);
      a[lane] += x;
      b[lane] += y;
      aa[lane] += x * x;
      bb[lane] += y * y;
      ab[lane] += x * y;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(first[i]) * static_cast<double>(by_first[i]);
    const double y = static_cast<double>(all[i] - first[i]) * static_cast<double>(by_second[i]);
    a[0] += x;
    b[0] += y;
    aa[0] += x * x;
    bb[0] += y * y;
    ab[0] += x * y;
  }
  return {0.0, total(a), total(b), total(aa), total(bb), total(ab)};
}

}  // namespace

std::vector<float> RootStatistics::plane() const {
  return std::vector<float>(static_cast<std::size_t>(size_) + 2 * kBlurRadius);
}
float* RootStatistics::at(std::vector<float>& plane) const { return plane.data() + kRadius; }
const float* RootStatistics::at(const std::vector<float>& plane) const { return plane.data() + kRadius; }

void RootStatistics::blur(const std::vector<float>& plane, std::vector<float>& out) {
  static const BlurWeights weights = gaussian();
  float* lines = lines_.data() + kRadius * stride_;
  convolve(at(plane), 1, size_, weights, lines);
  convolve(lines, stride_, size_, weights, at(out));
}

void RootStatistics::prepare(const NormalisedImage& image) {
  if (height_ == image.height && width_ == image.width && measured_ == image.measured) return;
  height_ = image.height;
  width_ = image.width;
  stride_ = width_ + kRadius;
  size_ = height_ * stride_;
  measured_ = image.measured;
  n_measured_ = image.n_measured;
  lines_.assign(static_cast<std::size_t>((height_ + 2 * kRadius) * stride_), 0.0F);
  for (auto* buffer : {&is_measured_, &quotient_, &deviations_, &blurred_, &part_, &blurred_part_}) *buffer = plane();
  for (Split& split : splits_) split = {plane(), plane(), plane(), 0.0};
  const auto each = [&](const auto& visit) {
    for (std::int32_t y = 0; y < height_; ++y) {
      for (std::int32_t x = 0; x < width_; ++x) {
        if (measured_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)] !=
            0)
          visit(y, x, y * stride_ + x);
      }
    }
  };
  std::int32_t top = height_;
  std::int32_t left = width_;
  each([&](std::int32_t y, std::int32_t x, std::int64_t) {
    top = std::min(top, y);
    left = std::min(left, x);
  });
  each([&](std::int32_t y, std::int32_t x, std::int64_t i) {
    at(is_measured_)[i] = 1.0F;
    const std::uint32_t halves = halves_of(static_cast<std::uint32_t>(y - top), static_cast<std::uint32_t>(x - left));
    for (std::size_t k = 0; k < kSplits; ++k) at(splits_[k].half)[i] = (halves >> k & 1U) != 0 ? 1.0F : 0.0F;
  });
  blur(is_measured_, blurred_);
  each([&](std::int32_t, std::int32_t, std::int64_t i) { at(quotient_)[i] = 1.0F / at(blurred_)[i]; });
  for (Split& split : splits_) {
    blur(split.half, blurred_part_);
    each([&](std::int32_t, std::int32_t, std::int64_t i) {
      const HalfQuotients found = half_quotients(at(blurred_)[i], at(blurred_part_)[i]);
      at(split.first)[i] = found.first;
      at(split.second)[i] = found.second;
      split.n += found.first != 0.0F ? 1.0 : 0.0;
    });
  }
}

void RootStatistics::take(const NormalisedImage& image) {
  prepare(image);
  float* roots = at(deviations_);
  for (std::int64_t y = 0; y < height_; ++y) {
    take_roots(image.values.data() + y * width_, width_, roots + y * stride_);
    std::fill_n(roots + y * stride_ + width_, kRadius, 0.0F);
  }
  const auto first = std::find(measured_.begin(), measured_.end(), 1) - measured_.begin();
  // Compared exactly: a rounded mean would turn a constant root into a random ratio.
  constant_ = !differs(roots, at(is_measured_), size_, roots[first / width_ * stride_ + first % width_]);
  if (constant_) return;
  // Unmeasured pixels are 0.
  const double mean = sum_of(roots, size_) / static_cast<double>(n_measured_);
  squares_ = deviate(at(is_measured_), size_, mean, roots);
  blur(deviations_, blurred_);
}

float RootStatistics::blurred_variance() const {
  if (constant_) return 0.0F;
  const Sums sums = sum_products(at(blurred_), at(quotient_), size_);
  const double left = sums.squares - sums.values * sums.values / static_cast<double>(n_measured_);
  return static_cast<float>(std::max(0.0, left) / squares_);
}

float RootStatistics::reliability() {
  if (constant_) return 0.0F;
  double sum = 0;
  for (const Split& split : splits_) {
    multiply(at(deviations_), at(split.half), size_, at(part_));
    blur(part_, blurred_part_);
    HalfSums sums = sum_halves(at(blurred_), at(blurred_part_), at(split.first), at(split.second), size_);
    sums.n = split.n;
    sum += half_correlation(sums, squares_ / static_cast<double>(n_measured_));
  }
  return static_cast<float>(sum / kSplits);
}

}  // namespace imn::score
