// How many measured pixels a network needs, and how close together; what else limits the meaning of scores.
//
// Found with simulated noise and structures on small and on thinned grids, see docs/reference/scores.md: with fewer
// than 36 pixels the network misses many structures, and where pixels are scattered it takes the gaps for structure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace imn::pick {

inline constexpr std::int64_t kFewestPixels = 36;
inline constexpr std::int64_t kComfortablePixels = 100;
// Share of the 5 x 5 pixels around a measured pixel that are measured, averaged over the measured pixels.
inline constexpr double kLeastFill = 0.2;
inline constexpr double kComfortableFill = 0.3;

// Measured pixels of an image grid.
struct MaskView {
  std::span<const std::uint8_t> measured;  // (height * width), 1 = measured
  std::int64_t height = 0;
  std::int64_t width = 0;
};

// Mean share of measured pixels among the 5 x 5 around each measured pixel, within the grid; 0 without any.
double fill(const MaskView& mask);

// Why a network cannot score images with these measured pixels, and the remedy; empty if it can.
std::string too_few(const MaskView& mask);

// What limits the meaning of scores of images with these measured pixels, one line each.
std::vector<std::string> cautions(const MaskView& mask, bool network);

}  // namespace imn::pick
