#include "images/patches.h"

#include <string>

#include "core/error.h"
#include "images/patches_cpu.h"

namespace imn::images {

void extract_patches(const PixelCube& cube, std::span<const std::int64_t> pixels, std::int64_t size,
                     const ChannelScaling& scaling, int threads, std::span<float> values, std::span<std::uint8_t> mask,
                     const std::atomic<bool>* cancel) {
  if (size < 1 || size % 2 == 0) {
    throw ArgumentError("the side of a patch must be odd and positive, not " + std::to_string(size));
  }
  const std::int64_t grid = cube.height * cube.width;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (pixels[i] < 0 || pixels[i] >= grid) {
      throw ArgumentError("patch " + std::to_string(i) + ": no pixel " + std::to_string(pixels[i]) + " on a grid of " +
                          std::to_string(cube.height) + " x " + std::to_string(cube.width));
    }
  }
  const std::size_t n_channels = scaling.channels.size();
  if (scaling.centre.size() != n_channels || scaling.scale.size() != n_channels) {
    throw ArgumentError("channels, centre and scale must have the same length");
  }
  for (const std::int64_t channel : scaling.channels) {
    if (channel < 0 || channel >= cube.channels) {
      throw ArgumentError("no channel " + std::to_string(channel) + "; the section has " +
                          std::to_string(cube.channels) + ", counted from 0");
    }
  }
  const std::size_t area = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  if (mask.size() != pixels.size() * area || values.size() != mask.size() * n_channels) {
    throw ArgumentError("extract_patches: the outputs have the wrong size");
  }
  extract_patches_cpu(cube, pixels, size, scaling, threads, values.data(), mask.data(), cancel);
}

}  // namespace imn::images
