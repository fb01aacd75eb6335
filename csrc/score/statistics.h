// Classical statistics of ion images over measured pixels: scores without a model, and inputs of the default model.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/image_stack.h"

namespace imn::score {

// In the order of the columns of image_statistics().
enum class Statistic { moran, blur, chaos, coverage };
inline constexpr std::int32_t kStatistics = 4;

// "moran", "blur", "chaos" or "coverage"; anything else is an ArgumentError that lists the known names.
Statistic parse_statistic(const std::string& name);

// All use the image as normalised for the network, before the resize: x = clip(pixel / max(q, 1e-6), 0, 1) with q
// the 0.99 quantile over measured pixels. Specification: python/ionmorphnet/reference/statistics.py.
//   moran     Moran's I with rook neighbours.
//   blur      variance of the image after a Gaussian blur of sigma 2 pixels, as a share of its variance before.
//   chaos     METASPACE's measure of spatial chaos: 1 = one connected shape at every level.
//   coverage  share of the measured pixels that are not 0.
// Images that are empty or constant over the measured pixels score 0, except for coverage.
// `cancel`, if given, is read every few images; if it is true, Cancelled is thrown.
void image_statistics(const ImageStack& stack, int threads, float* out,
                      const std::atomic<bool>* cancel = nullptr);                             // (n, kStatistics)
void image_statistic(const ImageStack& stack, Statistic statistic, int threads, float* out);  // (n)

}  // namespace imn::score
