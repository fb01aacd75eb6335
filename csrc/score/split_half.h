// The arithmetic of split-half reliability, shared by every backend.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace imn::score {

inline constexpr int kSplits = 2;
// A pixel counts where each half has at least this share of the weight under the Gaussian.
inline constexpr float kLeastShare = 1.0F / 32.0F;
// A half whose variance after the blur is below this share of the image's variance says nothing.
inline constexpr double kLeastVariance = 1e-4;

// Bit k is the half of the pixel in split k: a hash of its position relative to the first row and column with a
// measured pixel. It is the same in all images of a section, and padding does not change it. The finaliser is that of
// MurmurHash3 (Austin Appleby, public domain).
IMN_HOST_DEVICE inline std::uint32_t halves_of(std::uint32_t y, std::uint32_t x) {
  std::uint32_t h = y * 0x9E3779B1U + x * 0x85EBCA77U;
  h ^= h >> 16;
  h *= 0x85EBCA6BU;
  h ^= h >> 13;
  h *= 0xC2B2AE35U;
  return h ^ (h >> 16);
}

// The blurred weights of both halves at a pixel, as reciprocals; both are 0 where the pixel does not count.
struct HalfQuotients {
  float first, second;
};
// whole, first: blurred masks of all measured pixels and of those of the first half, at a measured pixel.
IMN_HOST_DEVICE inline HalfQuotients half_quotients(float whole, float first) {
  const float second = whole - first;
  const float least = kLeastShare * whole;
  if (first < least || second < least) return {0.0F, 0.0F};
  return {1.0F / first, 1.0F / second};
}

// Sums over the pixels that count; a and b are the blurred halves.
struct HalfSums {
  double n, a, b, aa, bb, ab;
};

IMN_HOST_DEVICE inline HalfSums operator+(const HalfSums& x, const HalfSums& y) {
  return {x.n + y.n, x.a + y.a, x.b + y.b, x.aa + y.aa, x.bb + y.bb, x.ab + y.ab};
}

// variance: of the image, before the blur.
IMN_HOST_DEVICE inline double half_correlation(const HalfSums& sums, double variance) {
  if (sums.n < 2.0) return 0.0;
  const double least = kLeastVariance * variance * sums.n;
  const double of_a = sums.aa - sums.a * sums.a / sums.n;
  const double of_b = sums.bb - sums.b * sums.b / sums.n;
  if (!(of_a > least && of_b > least)) return 0.0;
  const double r = (sums.ab - sums.a * sums.b / sums.n) / (sqrt(of_a) * sqrt(of_b));
  return r < -1.0 ? -1.0 : (r > 1.0 ? 1.0 : r);
}

}  // namespace imn::score
