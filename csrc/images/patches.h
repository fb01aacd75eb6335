// extract_patches: square neighbourhoods of pixels, for classifiers that use more than one spectrum.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace imn::images {

// A section as contiguous float32 [y, x, channel]; non-owning. Unmeasured pixels are 0 in `measured` (height*width);
// their values are never read.
struct PixelCube {
  const float* values = nullptr;
  const std::uint8_t* measured = nullptr;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
};

// The channels of a patch, in order (repeats allowed), and the standardisation of their values:
// (value - centre) * scale. Three spans of equal length.
struct ChannelScaling {
  std::span<const std::int64_t> channels;
  std::span<const float> centre;
  std::span<const float> scale;
};

// For each of n pixels (linear index y*width + x) its size x size neighbourhood, size odd:
// values[n][channel][dy][dx], and mask[n][dy][dx] = 1 where the neighbour is on the grid and measured. Elsewhere mask
// and values are 0. A cube is one section, so a patch never mixes two. The result does not depend on `threads` (0: all
// cores). Throws ArgumentError (size even or not positive, pixel or channel out of range, span of the wrong size),
// Cancelled.
void extract_patches(const PixelCube& cube, std::span<const std::int64_t> pixels, std::int64_t size,
                     const ChannelScaling& scaling, int threads, std::span<float> values, std::span<std::uint8_t> mask,
                     const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::images
