// normalise() for many pixels and one divisor, bit for bit the same.
#pragma once

#include <cmath>

#include "core/host_device.h"
#include "preprocess/quantile.h"

namespace imn::preprocess {

// Computes x / by from the correctly rounded 1 / by with two Newton steps. The last one rounds correctly (Markstein
// 1990) if neither quotient nor remainder is subnormal; otherwise x is divided.
class Normaliser {
 public:
  IMN_HOST_DEVICE explicit Normaliser(float by) : by_(by), inverse_(1.0F / by) {
    constexpr float kLargest = 0x1p100F;  // by is at least 1e-6
    const float least = by * 0x1p-60F;
    least_ = by > kLargest ? by : (least > 0x1p-90F ? least : 0x1p-90F);
  }

  IMN_HOST_DEVICE float at(float x) const {
    if (x >= by_) return 1.0F;
    if (x == 0.0F) return x;
    if (!(x >= least_)) return normalise(x, by_);
    const float first = x * inverse_;
    const float second = fmaf(fmaf(-first, by_, x), inverse_, first);
    return fmaf(fmaf(-second, by_, x), inverse_, second);
  }

 private:
  float by_, inverse_, least_;
};

}  // namespace imn::preprocess
