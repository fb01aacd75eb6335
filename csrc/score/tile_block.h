// The kernels of Moran's I and the blur. One thread block handles one tile of one image. See core/cuda/block.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"
#include "preprocess/normaliser.h"
#include "score/blur_weights.h"
#include "score/statistics_cuda.h"

namespace imn::score {

inline constexpr int kTileHeight = 40;
inline constexpr int kTileWidth = 64;
inline constexpr int kTileThreads = 320;
inline constexpr int kRun = 8;  // neighbouring pixels that one thread blurs at a time
inline constexpr int kPlaneRows = kTileHeight + 2 * kBlurRadius;
inline constexpr int kPlaneColumns = kTileWidth + 2 * kBlurRadius;
// Odd multiples of 16 bytes: threads that read 16 bytes from consecutive rows do not conflict in a bank of shared
// memory.
inline constexpr int kPlaneStride = kPlaneColumns + 4;
inline constexpr int kLineStride = kTileWidth + 4;

// The contribution of a tile to the sums of its image; d are the deviations from the mean.
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

// The parts of TileSums that are reduced together; two small structs need fewer registers than one.
struct MoranSums {
  double products, squares;
  std::int32_t links, unused;
};
struct BlurSums {
  double blurred, blurred_squares;
};

struct alignas(16) Four {
  float x[4];
};

struct alignas(16) TileMemory {            // in shared memory
  float plane[kPlaneRows * kPlaneStride];  // d of the tile and the margin that the blur reads; 0 where not measured
  float lines[kPlaneRows * kLineStride];   // blurred along x
  float quotient[kTileHeight * kTileWidth];
  std::uint8_t measured[kPlaneRows * kPlaneColumns];
  union {
    MoranSums moran[cuda::kScratch];
    BlurSums blur[cuda::kScratch];
  };
};

// The tiles of an image.
struct TileGrid {
  std::int32_t height, width;

  IMN_HOST_DEVICE int across() const { return (width + kTileWidth - 1) / kTileWidth; }
  IMN_HOST_DEVICE int count() const { return across() * ((height + kTileHeight - 1) / kTileHeight); }
};

// The first pixel of a tile.
struct TileOrigin {
  int y, x;
};

IMN_HOST_DEVICE inline TileOrigin tile_origin(const TileGrid& grid, int tile) {
  const int row = tile / grid.across();
  return {row * kTileHeight, (tile - row * grid.across()) * kTileWidth};
}

// Values that depend only on the measured pixels of a section; see mask_facts_bytes().
struct MaskFacts {
  std::int64_t measured;
  std::int64_t links;
  IMN_HOST_DEVICE static std::size_t header() { return 256; }
  IMN_HOST_DEVICE const float* quotient() const {
    return reinterpret_cast<const float*>(reinterpret_cast<const unsigned char*>(this) + header());
  }
};

// Adds the terms in the same order as the CPU's blur.
IMN_HOST_DEVICE inline float blur_at(const float* centre, const BlurWeights& weights) {
  float sum = weights.at[0] * centre[0];
  for (int k = 1; k <= kBlurRadius; ++k) sum += weights.at[k] * (centre[-k] + centre[k]);
  return sum;
}

// Item i of the blur along x covers kRun neighbouring pixels of a row.
inline constexpr int kRowItems = kPlaneRows * (kTileWidth / kRun);
IMN_HOST_DEVICE inline int row_item_row(int i) { return i % kPlaneRows; }
IMN_HOST_DEVICE inline int row_item_column(int i) { return i / kPlaneRows * kRun; }
inline constexpr int kWindow = kRun + 2 * kBlurRadius;

IMN_HOST_DEVICE inline void blur_window(const float (&window)[kWindow], const BlurWeights& weights, float* to) {
  for (int k = 0; k < kRun; k += 4) {
    Four four;
    for (int j = 0; j < 4; ++j) four.x[j] = blur_at(window + kBlurRadius + k + j, weights);
    *reinterpret_cast<Four*>(to + k) = four;
  }
}

template <int kCount>
IMN_HOST_DEVICE void load_fours(const float* from, float (&to)[kCount]) {
  for (int k = 0; k < kCount; k += 4) {
    const Four four = *reinterpret_cast<const Four*>(from + k);
    for (int j = 0; j < 4; ++j) to[k + j] = four.x[j];
  }
}

// Item i of the blur along y covers kRun pixels of a column: out[k] belongs to (item_row(i) + k, item_column(i)) of the
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

// Calls put(row, column, pixel) for every pixel of the plane; NaN outside the image. Several loads are in flight before
// the first value is used.
template <typename Block, typename Put>
IMN_DEVICE_CODE void load_tile(Block& block, const preprocess::GlobalImage& image, const TileGrid& grid,
                               TileOrigin origin, Put&& put) {
  constexpr int kAhead = 4;
  constexpr int kPart = kPlaneRows / kAhead;
  static_assert(kPart * kAhead == kPlaneRows);
  block.for_each(kPart * kPlaneColumns, [&](int i) {
    const int row = i / kPlaneColumns;
    const int column = i - row * kPlaneColumns;
    const int x = origin.x + column - kBlurRadius;
    const int top = origin.y + row - kBlurRadius;
    float pixel[kAhead];
    for (int k = 0; k < kAhead; ++k) {
      const int y = top + k * kPart;
      const bool inside = y >= 0 && y < grid.height && x >= 0 && x < grid.width;
      pixel[k] = inside ? image.at(y * grid.width + x) : preprocess::kNotMeasured;
    }
    for (int k = 0; k < kAhead; ++k) put(row + k * kPart, column, pixel[k]);
  });
}

// Calls take(row, column, 1 / blur(measured)) for every pixel of the tile; the value is 0 where not measured.
template <typename Block, typename Take>
IMN_DEVICE_CODE void blur_measured(Block& block, const BlurWeights& weights, TileMemory& memory, Take&& take) {
  block.for_each(kRowItems, [&](int i) {
    const std::uint8_t* from = memory.measured + row_item_row(i) * kPlaneColumns + row_item_column(i);
    float window[kWindow];
    for (int k = 0; k < kWindow; ++k) window[k] = from[k] != 0 ? 1.0F : 0.0F;
    blur_window(window, weights, memory.lines + row_item_row(i) * kLineStride + row_item_column(i));
  });
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

// A mean as the sum of three floats, the largest first.
struct Mean {
  float high, low, rest;

  IMN_HOST_DEVICE explicit Mean(double mean) : high(static_cast<float>(mean)) {
    const double left = mean - static_cast<double>(high);
    low = static_cast<float>(left);
    rest = static_cast<float>(left - static_cast<double>(low));
  }

  // Returns x - mean as a float, nearly always correctly rounded.
  IMN_HOST_DEVICE float deviation(float x) const {
    const float first = x - high;
    const float part = first - x;
    const float second = (x - (first - part)) - (high + part) - low;
    const float sum = first + second;
    return sum + ((second - (sum - first)) - rest);
  }
};

// Block = tile. mask may be null.
template <typename Block>
IMN_DEVICE_CODE void mask_block(Block& block, const std::uint8_t* mask, const TileGrid& grid,
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

// Runs in one block. Counts the measured pixels and the pairs of neighbours among them.
template <typename Block>
IMN_DEVICE_CODE void count_mask_block(Block& block, const std::uint8_t* mask, const TileGrid& grid,
                                      MaskFacts* mask_facts, std::int64_t* scratch) {
  const int width = grid.width;
  const int n = grid.height * width;
  const auto is = [&](int i) { return mask == nullptr || mask[i] != 0; };
  const std::int64_t measured = block.sum(n, [&](int i) { return std::int64_t{is(i) ? 1 : 0}; }, scratch);
  const std::int64_t links = block.sum(
      n,
      [&](int i) {
        if (!is(i)) return std::int64_t{0};
        const bool right = (i + 1) % width != 0 && is(i + 1);
        const bool below = i < n - width && is(i + width);
        return std::int64_t{(right ? 1 : 0) + (below ? 1 : 0)};
      },
      scratch);
  block.once([&] {
    mask_facts->measured = measured;
    mask_facts->links = links;
  });
}

// Block = image * tiles + tile; sums has one entry per block. Links are counted only if those of the mask do not apply.
template <typename Block>
IMN_DEVICE_CODE void tile_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                const MaskFacts* mask_facts, const BlurWeights& weights, TileSums* sums,
                                TileMemory& memory) {
  const TileGrid grid{images.height, images.width};
  const int image = block.x() / grid.count();
  const preprocess::ImageFacts& fact = facts[image];
  if (fact.blank != 0) return;  // its statistics are 0; the sums are not used
  const TileOrigin origin = tile_origin(grid, block.x() - image * grid.count());
  const preprocess::GlobalImage pixels(images.image(image), images.mask, grid.height * grid.width);
  const Mean mean(fact.sum / static_cast<double>(fact.measured));
  const preprocess::Normaliser normaliser(fact.divisor);
  // The mask includes all pixels measured in the image, so equal counts mean equal sets of pixels.
  const bool same_mask = fact.measured == mask_facts->measured;
  load_tile(block, pixels, grid, origin, [&](int row, int column, float pixel) {
    const bool measured = pixel == pixel;
    memory.plane[row * kPlaneStride + column] = measured ? mean.deviation(normaliser.at(pixel)) : 0.0F;
    if (!same_mask) memory.measured[row * kPlaneColumns + column] = measured ? 1 : 0;
  });
  if (!same_mask) {
    blur_measured(block, weights, memory,
                  [&](int row, int column, float value) { memory.quotient[row * kTileWidth + column] = value; });
  }
  const auto of_row = [&](int i) {
    MoranSums sum{};
    const int row = row_item_row(i);
    const int column = row_item_column(i);
    const float* from = memory.plane + row * kPlaneStride + column;
    float window[kWindow];
    load_fours(from, window);
    blur_window(window, weights, memory.lines + row * kLineStride + column);
    const int inner = row - kBlurRadius;
    if (inner < 0 || inner >= kTileHeight || origin.y + inner >= grid.height) return sum;
    // Pixels outside the image have d = 0.
    auto here = static_cast<double>(window[kBlurRadius]);
    for (int first = 0; first < kRun; first += 4) {
      const Four below = *reinterpret_cast<const Four*>(from + kPlaneStride + kBlurRadius + first);
      for (int k = 0; k < 4; ++k) {
        const auto next = static_cast<double>(window[kBlurRadius + first + k + 1]);
        sum.squares = fma(here, here, sum.squares);
        sum.products = fma(here, next + static_cast<double>(below.x[k]), sum.products);
        here = next;
      }
    }
    if (!same_mask) {
      const std::uint8_t* m = memory.measured + row * kPlaneColumns + column + kBlurRadius;
      for (int k = 0; k < kRun; ++k) sum.links += (m[k] & m[k + 1]) + (m[k] & m[k + kPlaneColumns]);
    }
    return sum;
  };
  const MoranSums moran = block.reduce(
      kRowItems, MoranSums{}, of_row,
      [](const MoranSums& a, const MoranSums& b) {
        return MoranSums{a.products + b.products, a.squares + b.squares, a.links + b.links, 0};
      },
      memory.moran);
  TileSums& to = sums[block.x()];
  block.for_each_unsynced(1, [&](int) {
    to.products = moran.products;
    to.squares = moran.squares;
    to.links = moran.links;
  });
  const auto of_column = [&](int i) {
    BlurSums sum{};
    float blurred[kRun];
    const int column = item_column(i);
    const int x = origin.x + column;
    const int y = origin.y + item_row(i);
    const int rows = x < grid.width ? grid.height - y : 0;
    blur_along_y(memory.lines, i, weights, blurred);
    for (int k = 0; k < kRun; ++k) {
      if (k >= rows) break;
      const float quotient = same_mask ? mask_facts->quotient()[(y + k) * grid.width + x]
                                       : memory.quotient[(item_row(i) + k) * kTileWidth + column];
      const double value = static_cast<double>(blurred[k]) * static_cast<double>(quotient);
      sum.blurred += value;
      sum.blurred_squares = fma(value, value, sum.blurred_squares);
    }
    return sum;
  };
  const BlurSums blur = block.reduce(
      kColumnItems, BlurSums{}, of_column,
      [](const BlurSums& a, const BlurSums& b) {
        return BlurSums{a.blurred + b.blurred, a.blurred_squares + b.blurred_squares};
      },
      memory.blur);
  block.once(
      [&] { sums[block.x()] = {moran.products, moran.squares, blur.blurred, blur.blurred_squares, moran.links}; });
}

}  // namespace imn::score
