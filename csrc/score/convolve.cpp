#include "score/convolve.h"

#include "core/multiversion.h"

namespace imn::score {

IMN_MULTIVERSION void convolve(const float* __restrict in, std::int64_t stride, std::int64_t n,
                               const BlurWeights& weights, float* __restrict out) {
  const float *w = weights.at, w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7],
              w8 = w[8];
  static_assert(kBlurRadius == 8);
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

}  // namespace imn::score
