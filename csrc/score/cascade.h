// Cascade: finds images that two cheap statistics show to be noise, so that the network is spared them.
#pragma once

#include <cstdint>

#include "core/image_stack.h"

namespace imn::score {

// With fewer measured pixels, chance alone hides most structures.
inline constexpr std::int64_t kLeastPixels = 400;

// An image of at least kLeastPixels measured pixels is spared if both hold. Independent pixels have a Moran's I of
// standard deviation 1 / sqrt(2 n), n measured pixels, and a blur of about 0.02. An image that is constant over its
// measured pixels is not spared.
struct Cascade {
  double moran_z = 0.0;  // largest Moran's I, in units of that deviation
  double blur = 0.0;     // largest blur variance (see Statistic::blur)
};

// Throws ArgumentError unless both limits are positive and finite.
void check_cascade(const Cascade& cascade);

// reach (stack.n): NaN for an image that the network must see; otherwise how near the image comes to the limits: the
// larger of its two statistics, each divided by its limit, 0 to 1.
void find_noise(const ImageStack& stack, const Cascade& cascade, int threads, float* reach);

}  // namespace imn::score
