#include "images/patches_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/parallel_for.h"

namespace imn::images {
namespace {

// Channels moved at a time: that part of a 9 x 9 patch (20 kB) stays in the first-level cache while its pixels, which
// lie far apart in the output, are written.
constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kGrain = 32;

// Some channels of a pixel, standardised; neighbouring channels are read as vectors.
void standardise(const float* pixel, const std::int64_t* channels, const float* centre, const float* scale,
                 std::int64_t n, bool adjacent, float* out) {
  if (adjacent) {
    const float* from = pixel + channels[0];
    for (std::int64_t c = 0; c < n; ++c) out[c] = (from[c] - centre[c]) * scale[c];
    return;
  }
  for (std::int64_t c = 0; c < n; ++c) out[c] = pixel[channels[c]];
  for (std::int64_t c = 0; c < n; ++c) out[c] = (out[c] - centre[c]) * scale[c];
}

struct Neighbour {
  const float* pixel;  // its channels
  std::int64_t place;  // dy * size + dx
};

// The measured neighbours of a pixel; marks them in the mask.
void find_neighbours(const PixelCube& cube, std::int64_t pixel, std::int64_t size, std::uint8_t* mask,
                     std::vector<Neighbour>& found) {
  found.clear();
  const std::int64_t top = pixel / cube.width - size / 2;
  const std::int64_t left = pixel % cube.width - size / 2;
  for (std::int64_t dy = std::max<std::int64_t>(0, -top); dy < std::min(size, cube.height - top); ++dy) {
    for (std::int64_t dx = std::max<std::int64_t>(0, -left); dx < std::min(size, cube.width - left); ++dx) {
      const std::int64_t at = (top + dy) * cube.width + left + dx;
      if (cube.measured[at] == 0) continue;
      const std::int64_t place = dy * size + dx;
      mask[place] = 1;
      found.push_back({cube.values + at * cube.channels, place});
    }
  }
}

}  // namespace

void extract_patches_cpu(const PixelCube& cube, std::span<const std::int64_t> pixels, std::int64_t size,
                         const ChannelScaling& scaling, int threads, float* values, std::uint8_t* mask,
                         const std::atomic<bool>* cancel) {
  const std::int64_t area = size * size;
  const auto n_channels = static_cast<std::int64_t>(scaling.channels.size());
  const std::int64_t* channels = scaling.channels.data();
  const float* centre = scaling.centre.data();
  const float* scale = scaling.scale.data();
  bool adjacent = true;
  for (std::int64_t c = 1; c < n_channels; ++c) adjacent = adjacent && channels[c] == channels[c - 1] + 1;
  std::vector<std::vector<Neighbour>> workers(static_cast<std::size_t>(thread_count(threads)));

  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    std::vector<Neighbour>& neighbours = workers[static_cast<std::size_t>(worker)];
    for (std::int64_t i = begin; i < end; ++i) {
      float* patch = values + i * n_channels * area;
      std::memset(mask + i * area, 0, static_cast<std::size_t>(area));
      find_neighbours(cube, pixels[static_cast<std::size_t>(i)], size, mask + i * area, neighbours);
      if (static_cast<std::int64_t>(neighbours.size()) < area) {
        std::fill_n(patch, n_channels * area, 0.0f);
      }
      for (std::int64_t first = 0; first < n_channels; first += kBlock) {
        const std::int64_t count = std::min(kBlock, n_channels - first);
        for (const Neighbour& neighbour : neighbours) {
          std::array<float, kBlock> row;
          standardise(neighbour.pixel, channels + first, centre + first, scale + first, count, adjacent, row.data());
          float* out = patch + first * area + neighbour.place;
          for (std::int64_t c = 0; c < count; ++c) out[c * area] = row[static_cast<std::size_t>(c)];
        }
      }
    }
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), kGrain, threads, body, cancel);
}

}  // namespace imn::images
