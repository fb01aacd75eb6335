// The kernels of Moran's I and the blur: one thread block takes one tile of one image. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"
#include "preprocess/quantile.h"
#include "score/blur_weights.h"
#include "score/statistics_cuda.h"

namespace imn::score {

inline constexpr int kTileHeight = 32;
inline constexpr int kTileWidth = 64;
inline constexpr int kTileThreads = 256;
inline constexpr int kRun = 8;  // neighbours that one thread blurs together
inline constexpr int kPlaneRows = kTileHeight + 2 * kBlurRadius;
inline constexpr int kPlaneColumns = kTileWidth + 2 * kBlurRadius;
// Odd, so that a column does not fall into one bank of shared memory.
inline constexpr int kPlaneStride = kPlaneColumns + 1;
inline constexpr int kLineStride = kTileWidth + 1;

// What a tile adds to the sums of its image, d = deviations from the mean.
struct TileSums {
  double products;  // d_i d_j over neighbours i, j that share an edge
  double squares;   // d_i^2
  double blurred;   // blurred d_i
  double blurred_squares;
  std::int64_t links;  // pairs of measured neighbours
};

IMN_HOST_DEVICE inline TileSums operator+(const TileSums& a, const TileSums& b) {
  return {a.products + b.products, a.squares + b.squares, a.blurred + b.blurred, a.blurred_squares + b.blurred_squares,
          a.links + b.links};
}

struct TileMemory {                        // shared
  float plane[kPlaneRows * kPlaneStride];  // d, with what the blur reaches around the tile; 0 where not measured
  float lines[kPlaneRows * kLineStride];   // blurred along x
  float quotient[kTileHeight * kTileWidth];
  std::uint8_t measured[kPlaneRows * kPlaneColumns];
  TileSums scratch[cuda::kScratch];
};

// Where an image's tiles lie.
struct TileGrid {
  std::int32_t height, width;

  IMN_HOST_DEVICE int across() const { return (width + kTileWidth - 1) / kTileWidth; }
  IMN_HOST_DEVICE int count() const { return across() * ((height + kTileHeight - 1) / kTileHeight); }
};

// First pixel of a tile.
struct TileOrigin {
  int y, x;
};

IMN_HOST_DEVICE inline TileOrigin tile_origin(const TileGrid& grid, int tile) {
  const int row = tile / grid.across();
  return {row * kTileHeight, (tile - row * grid.across()) * kTileWidth};
}

// What the measured pixels of a section alone decide; see section_bytes().
struct Section {
  std::int64_t measured;
  IMN_HOST_DEVICE static std::size_t header() { return 256; }
  IMN_HOST_DEVICE const float* quotient() const {
    return reinterpret_cast<const float*>(reinterpret_cast<const unsigned char*>(this) + header());
  }
};

// In the order of the terms that the CPU's blur has.
IMN_HOST_DEVICE inline float blur_at(const float* centre, const BlurWeights& weights) {
  float sum = weights.at[0] * centre[0];
  for (int k = 1; k <= kBlurRadius; ++k) sum += weights.at[k] * (centre[-k] + centre[k]);
  return sum;
}

// value(row, column) of the plane, blurred along x into memory.lines.
template <typename Block, typename Value>
IMN_DEVICE_CODE void blur_along_x(Block& block, const BlurWeights& weights, Value&& value, float* lines) {
  block.for_each(kPlaneRows * (kTileWidth / kRun), [&](int i) {
    const int first = i / kPlaneRows;
    const int row = i - first * kPlaneRows;
    const int column = first * kRun;
    float window[kRun + 2 * kBlurRadius];
    for (int k = 0; k < kRun + 2 * kBlurRadius; ++k) window[k] = value(row, column + k);
    for (int k = 0; k < kRun; ++k) lines[row * kLineStride + column + k] = blur_at(window + kBlurRadius + k, weights);
  });
}

// The blurred values of item i, which are below each other: out[k] belongs to (first_row(i) + k, column(i)) of the
// tile.
inline constexpr int kColumnItems = kTileWidth * (kTileHeight / kRun);
IMN_HOST_DEVICE inline int item_column(int i) { return i % kTileWidth; }
IMN_HOST_DEVICE inline int item_row(int i) { return i / kTileWidth * kRun; }

IMN_HOST_DEVICE inline void blur_along_y(const float* lines, int i, const BlurWeights& weights, float (&out)[kRun]) {
  const float* from = lines + item_row(i) * kLineStride + item_column(i);
  float window[kRun + 2 * kBlurRadius];
  for (int k = 0; k < kRun + 2 * kBlurRadius; ++k) window[k] = from[k * kLineStride];
  for (int k = 0; k < kRun; ++k) out[k] = blur_at(window + kBlurRadius + k, weights);
}

// Fills memory.measured and, by `put(place, pixel or NaN)`, what belongs to it; NaN outside the image.
template <typename Block, typename Put>
IMN_DEVICE_CODE void load_tile(Block& block, const preprocess::GlobalImage& image, const TileGrid& grid,
                               TileOrigin origin, TileMemory& memory, Put&& put) {
  block.for_each(kPlaneRows * kPlaneColumns, [&](int i) {
    const int row = i / kPlaneColumns;
    const int column = i - row * kPlaneColumns;
    const int y = origin.y + row - kBlurRadius;
    const int x = origin.x + column - kBlurRadius;
    const bool inside = y >= 0 && y < grid.height && x >= 0 && x < grid.width;
    const float pixel = inside ? image.at(y * grid.width + x) : preprocess::kNotMeasured;
    memory.measured[i] = pixel == pixel ? 1 : 0;
    put(row * kPlaneStride + column, pixel);
  });
}

// 1 / blur(measured) of the tile; take(row, column of the tile, value), 0 where not measured.
template <typename Block, typename Take>
IMN_DEVICE_CODE void blur_measured(Block& block, const BlurWeights& weights, TileMemory& memory, Take&& take) {
  blur_along_x(
      block, weights,
      [&](int row, int column) { return memory.measured[row * kPlaneColumns + column] != 0 ? 1.0F : 0.0F; },
      memory.lines);
  block.for_each(kColumnItems, [&](int i) {
    float blurred[kRun];
    blur_along_y(memory.lines, i, weights, blurred);
    for (int k = 0; k < kRun; ++k) {
      const int row = item_row(i) + k;
      const int at = (row + kBlurRadius) * kPlaneColumns + item_column(i) + kBlurRadius;
      take(row, item_column(i), memory.measured[at] != 0 ? 1.0F / blurred[k] : 0.0F);
    }
  });
}

// Block = tile. mask may be null.
template <typename Block>
IMN_DEVICE_CODE void section_block(Block& block, const std::uint8_t* mask, const TileGrid& grid,
                                   const BlurWeights& weights, float* quotient, TileMemory& memory) {
  const TileOrigin origin = tile_origin(grid, block.x());
  block.for_each(kPlaneRows * kPlaneColumns, [&](int i) {
    const int row = i / kPlaneColumns;
    const int y = origin.y + row - kBlurRadius;
    const int x = origin.x + i - row * kPlaneColumns - kBlurRadius;
    const bool inside = y >= 0 && y < grid.height && x >= 0 && x < grid.width;
    memory.measured[i] = inside && (mask == nullptr || mask[y * grid.width + x] != 0) ? 1 : 0;
  });
  blur_measured(block, weights, memory, [&](int row, int column, float value) {
    const int y = origin.y + row;
    const int x = origin.x + column;
    if (y < grid.height && x < grid.width) quotient[y * grid.width + x] = value;
  });
}

// One block: counts the measured pixels.
template <typename Block>
IMN_DEVICE_CODE void count_section_block(Block& block, const std::uint8_t* mask, int n, Section* section,
                                         std::int32_t* scratch) {
  const std::int32_t measured =
      mask == nullptr ? n : block.sum(n, [&](int i) { return mask[i] != 0 ? 1 : 0; }, scratch);
  block.once([&] { section->measured = measured; });
}

// Block = image * tiles + tile; sums has one entry a block.
template <typename Block>
IMN_DEVICE_CODE void tile_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                const Section* section, const BlurWeights& weights, TileSums* sums,
                                TileMemory& memory) {
  const TileGrid grid{images.height, images.width};
  const int image = block.x() / grid.count();
  const preprocess::ImageFacts& fact = facts[image];
  if (fact.blank != 0) return;  // its statistics are 0, whatever the sums are
  const TileOrigin origin = tile_origin(grid, block.x() - image * grid.count());
  const preprocess::GlobalImage pixels(images.image(image), images.mask, grid.height * grid.width);
  const double mean = fact.sum / static_cast<double>(fact.measured);
  load_tile(block, pixels, grid, origin, memory, [&](int at, float pixel) {
    const double x = static_cast<double>(preprocess::normalise(pixel, fact.divisor));
    memory.plane[at] = pixel == pixel ? static_cast<float>(x - mean) : 0.0F;
  });
  // The section's pixels include the image's, so that as many are the same.
  const bool as_section = fact.measured == section->measured;
  if (!as_section) {
    blur_measured(block, weights, memory,
                  [&](int row, int column, float value) { memory.quotient[row * kTileWidth + column] = value; });
  }
  blur_along_x(
      block, weights, [&](int row, int column) { return memory.plane[row * kPlaneStride + column]; }, memory.lines);
  const auto of_item = [&](int i) {
    TileSums sum{};
    float blurred[kRun];
    blur_along_y(memory.lines, i, weights, blurred);
    const int column = item_column(i);
    for (int k = 0; k < kRun; ++k) {
      const int row = item_row(i) + k;
      const int y = origin.y + row;
      const int x = origin.x + column;
      if (y >= grid.height || x >= grid.width) continue;
      const float* d = memory.plane + (row + kBlurRadius) * kPlaneStride + column + kBlurRadius;
      const std::uint8_t* m = memory.measured + (row + kBlurRadius) * kPlaneColumns + column + kBlurRadius;
      const auto here = static_cast<double>(d[0]);
      sum.squares += here * here;
      sum.products += here * static_cast<double>(d[1]) + here * static_cast<double>(d[kPlaneStride]);
      sum.links += (m[0] & m[1]) + (m[0] & m[kPlaneColumns]);
      const float by =
          as_section ? section->quotient()[y * grid.width + x] : memory.quotient[row * kTileWidth + column];
      const double value = static_cast<double>(blurred[k]) * static_cast<double>(by);
      sum.blurred += value;
      sum.blurred_squares += value * value;
    }
    return sum;
  };
  const TileSums all = block.reduce(
      kColumnItems, TileSums{}, of_item, [](const TileSums& a, const TileSums& b) { return a + b; }, memory.scratch);
  block.once([&] { sums[block.x()] = all; });
}

}  // namespace imn::score
