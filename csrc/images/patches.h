// extract_patches: square neighbourhoods of pixels, for classifiers that look at more than one spectrum.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace imn::images {

// A section as pixels [y, x, channel] of float32, contiguous; non-owning. Not measured: 0 in `measured` (height*width);
// the values there are never read.
struct PixelCube {
  const float* values = nullptr;
  const std::uint8_t* measured = nullptr;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
};

// Which channels a patch has, in this order (repeats allowed), and how their values are standardised:
// (value - centre) * scale. Three spans of one length.
struct ChannelScaling {
  std::span<const std::int64_t> channels;
  std::span<const float> centre;
  std::span<const float> scale;
};

// For each of n pixels (linear index y*width + x) its size x size neighbourhood, size odd:
// values[n][channel][dy][dx], and mask[n][dy][dx] = 1 where the neighbour is on the grid and measured. Elsewhere mask
// and values are 0. A cube is one section, so a patch never holds pixels of two. The result does not depend on
// `threads` (0: all). Throws ArgumentError (size even or not positive, a pixel off the grid, a channel that is not
// there, spans of the wrong size), Cancelled.
void extract_patches(const PixelCube& cube, std::span<const std::int64_t> pixels, std::int64_t size,
                     const ChannelScaling& scaling, int threads, std::span<float> values, std::span<std::uint8_t> mask,
                     const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::images
