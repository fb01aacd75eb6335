// Classical statistics of ion images over measured pixels: scores without a model, and inputs of the default model.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/image_stack.h"

namespace imn::score {

// In the order of the columns of image_statistics().
enum class Statistic { moran, blur, chaos, coverage, blur_sqrt, reliability };
inline constexpr std::int32_t kStatistics = 6;

// In the order of Statistic.
inline constexpr std::array<const char*, kStatistics> kStatisticNames{"moran",    "blur",      "chaos",
                                                                      "coverage", "blur_sqrt", "reliability"};
// Those that rank channels.
inline constexpr std::array kRankingStatistics{Statistic::moran, Statistic::blur, Statistic::chaos,
                                               Statistic::blur_sqrt, Statistic::reliability};

constexpr const char* name_of(Statistic statistic) { return kStatisticNames[static_cast<std::size_t>(statistic)]; }
// In one line.
const char* description(Statistic statistic);

// "moran", "blur" and so on; anything else is an ArgumentError that lists the known names.
Statistic parse_statistic(const std::string& name);

// All use the image as normalised for the network, before the resize: x = clip(pixel / max(q, 1e-6), 0, 1) with q
// the 0.99 quantile over measured pixels. Specification: python/ionmorphnet/reference/statistics.py.
//   moran        Moran's I with rook neighbours.
//   blur         variance of the image after a Gaussian blur of sigma 2 pixels, as a share of its variance before.
//   chaos        METASPACE's measure of spatial chaos: 1 = one connected shape at every level.
//   coverage     share of the measured pixels that are not 0.
//   blur_sqrt    blur of sqrt(x).
//   reliability  correlation of the blurred halves of sqrt(x), the measured pixels split at random; mean of two splits.
// Images that are empty or constant over the measured pixels score 0, except for coverage.
// `cancel`, if given, is read every few images; if it is true, Cancelled is thrown.
void image_statistics(const ImageStack& stack, int threads, float* out,
                      const std::atomic<bool>* cancel = nullptr);  // (n, kStatistics)
// Only those wanted, in this order.
void image_statistics(const ImageStack& stack, std::span<const Statistic> wanted, int threads, float* out,
                      const std::atomic<bool>* cancel = nullptr);  // (n, wanted.size())

// Whether a statistic uses the square root of the image.
inline bool uses_root(Statistic statistic) {
  return statistic == Statistic::blur_sqrt || statistic == Statistic::reliability;
}

}  // namespace imn::score
