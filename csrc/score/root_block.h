// The kernels of blur_sqrt and reliability. They run only if one of them is wanted. See core/cuda/block.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "score/split_half.h"
#include "score/tile_block.h"

namespace imn::score {

// Of the square root of an image, over its measured pixels.
struct RootFacts {
  double sum;
  float least, greatest;
  std::int32_t top, left;  // first row and column with a measured pixel
};

// The contribution of a tile to the sums of its image; d are the deviations of the root from its mean.
struct RootSums {
  double squares;  // d^2
  double blurred;  // blurred d
  double blurred_squares;
  HalfSums halves[kSplits];
};

IMN_HOST_DEVICE inline RootSums operator+(const RootSums& a, const RootSums& b) {
  RootSums sum{a.squares + b.squares, a.blurred + b.blurred, a.blurred_squares + b.blurred_squares, {}};
  for (int k = 0; k < kSplits; ++k) sum.halves[k] = a.halves[k] + b.halves[k];
  return sum;
}

struct RootBlurSums {
  double squares, blurred, blurred_squares;
};

struct alignas(16) RootMemory {            // in shared memory
  float plane[kPlaneRows * kPlaneStride];  // d of the tile and the margin that the blur reads; 0 where not measured
  float lines[kPlaneRows * kLineStride];   // blurred along x
  float whole[kTileHeight * kTileWidth];   // blurred mask of measured pixels; 0 where not measured
  float first[kTileHeight * kTileWidth];   // blurred mask of the first half; 0 where not measured
  float blurred[kTileHeight * kTileWidth];
  std::uint8_t measured[kPlaneRows * kPlaneColumns];  // 0, or kMeasured and the bits of halves_of()
  union {
    RootBlurSums blur[cuda::kScratch];
    HalfSums halves[cuda::kScratch];
  };
};

inline constexpr std::uint8_t kMeasured = 0x80;

// Block = image.
template <typename Block>
IMN_DEVICE_CODE void root_facts_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                      RootFacts* to, RootFacts* scratch) {
  const int image = block.x();
  const preprocess::ImageFacts& fact = facts[image];
  if (fact.blank != 0) return;
  const preprocess::GlobalImage pixels(images.image(image), images.mask, images.height * images.width);
  const preprocess::Normaliser normaliser(fact.divisor);
  const int width = images.width;
  const RootFacts none{0.0, 2.0F, -1.0F, images.height, width};
  const auto join = [](const RootFacts& a, const RootFacts& b) {
    return RootFacts{a.sum + b.sum, cuda::lesser(a.least, b.least), cuda::greater(a.greatest, b.greatest),
                     cuda::lesser(a.top, b.top), cuda::lesser(a.left, b.left)};
  };
  const RootFacts all = pixels.reduce_quads(
      block, none,
      [&](int q, const preprocess::Quad& quad) {
        RootFacts found = none;
        for (int k = 0; k < 4; ++k) {
          if (quad.x[k] != quad.x[k]) continue;
          const float root = sqrtf(normaliser.at(quad.x[k]));
          const int i = 4 * q + k - pixels.shift();
          const int row = i / width;
          found = join(found, {static_cast<double>(root), root, root, row, i - row * width});
        }
        return found;
      },
      join, scratch);
  block.once([&] { to[image] = all; });
}

// Blurs the pixels of the tile and its margin that `is` accepts, as 1 and 0. Calls take(at, value) for every pixel of
// the tile; the value is 0 where not measured.
template <typename Block, typename Is, typename Take>
IMN_DEVICE_CODE void blur_pixels(Block& block, const BlurWeights& weights, RootMemory& memory, Is&& is, Take&& take) {
  block.for_each(kRowItems, [&](int i) {
    const std::uint8_t* from = memory.measured + row_item_row(i) * kPlaneColumns + row_item_column(i);
    float window[kWindow];
    for (int k = 0; k < kWindow; ++k) window[k] = is(from[k]) ? 1.0F : 0.0F;
    blur_window(window, weights, memory.lines + row_item_row(i) * kLineStride + row_item_column(i));
  });
  block.for_each(kColumnItems, [&](int i) {
    float blurred[kRun];
    blur_along_y(memory.lines, i, weights, blurred);
    for (int k = 0; k < kRun; ++k) {
      const int row = item_row(i) + k;
      const int at = (row + kBlurRadius) * kPlaneColumns + item_column(i) + kBlurRadius;
      take(row * kTileWidth + item_column(i), memory.measured[at] != 0 ? blurred[k] : 0.0F);
    }
  });
}

// Blurs d along x, only those pixels that `is` accepts.
template <typename Block, typename Is>
IMN_DEVICE_CODE void blur_roots_along_x(Block& block, const BlurWeights& weights, RootMemory& memory, Is&& is) {
  block.for_each(kRowItems, [&](int i) {
    const int row = row_item_row(i);
    const int column = row_item_column(i);
    const std::uint8_t* measured = memory.measured + row * kPlaneColumns + column;
    float window[kWindow];
    load_fours(memory.plane + row * kPlaneStride + column, window);
    for (int k = 0; k < kWindow; ++k) window[k] = is(measured[k]) ? window[k] : 0.0F;
    blur_window(window, weights, memory.lines + row * kLineStride + column);
  });
}

// Block = image * tiles + tile; sums has one entry per block.
template <typename Block>
IMN_DEVICE_CODE void root_tile_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                     const RootFacts* roots, const BlurWeights& weights, RootSums* sums,
                                     RootMemory& memory) {
  const TileGrid grid{images.height, images.width};
  const int image = block.x() / grid.count();
  const preprocess::ImageFacts& fact = facts[image];
  if (fact.blank != 0) return;  // its statistics are 0; neither its facts nor its sums are used
  const TileOrigin origin = tile_origin(grid, block.x() - image * grid.count());
  const preprocess::GlobalImage pixels(images.image(image), images.mask, grid.height * grid.width);
  const RootFacts root = roots[image];
  const Mean mean(root.sum / static_cast<double>(fact.measured));
  const preprocess::Normaliser normaliser(fact.divisor);
  load_tile(block, pixels, grid, origin, [&](int row, int column, float pixel) {
    const bool measured = pixel == pixel;
    const std::uint32_t halves = halves_of(static_cast<std::uint32_t>(origin.y + row - kBlurRadius - root.top),
                                           static_cast<std::uint32_t>(origin.x + column - kBlurRadius - root.left));
    memory.plane[row * kPlaneStride + column] = measured ? mean.deviation(sqrtf(normaliser.at(pixel))) : 0.0F;
    memory.measured[row * kPlaneColumns + column] =
        measured ? static_cast<std::uint8_t>(kMeasured | (halves & ((1U << kSplits) - 1U))) : std::uint8_t{0};
  });
  blur_pixels(
      block, weights, memory, [](std::uint8_t pixel) { return pixel != 0; },
      [&](int at, float value) { memory.whole[at] = value; });
  blur_roots_along_x(block, weights, memory, [](std::uint8_t) { return true; });
  const RootBlurSums blur = block.reduce(
      kColumnItems, RootBlurSums{},
      [&](int i) {
        RootBlurSums sum{};
        float blurred[kRun];
        blur_along_y(memory.lines, i, weights, blurred);
        for (int k = 0; k < kRun; ++k) {
          const int row = item_row(i) + k;
          const int column = item_column(i);
          const int at = row * kTileWidth + column;
          memory.blurred[at] = blurred[k];
          if (memory.whole[at] == 0.0F) continue;
          const auto d = static_cast<double>(memory.plane[(row + kBlurRadius) * kPlaneStride + column + kBlurRadius]);
          const double value = static_cast<double>(blurred[k]) * static_cast<double>(1.0F / memory.whole[at]);
          sum.squares = fma(d, d, sum.squares);
          sum.blurred += value;
          sum.blurred_squares = fma(value, value, sum.blurred_squares);
        }
        return sum;
      },
      [](const RootBlurSums& a, const RootBlurSums& b) {
        return RootBlurSums{a.squares + b.squares, a.blurred + b.blurred, a.blurred_squares + b.blurred_squares};
      },
      memory.blur);
  RootSums& to = sums[block.x()];
  block.once([&] {
    to.squares = blur.squares;
    to.blurred = blur.blurred;
    to.blurred_squares = blur.blurred_squares;
  });
  for (int split = 0; split < kSplits; ++split) {
    const auto in_first = [split](std::uint8_t pixel) { return pixel != 0 && (pixel >> split & 1) != 0; };
    blur_pixels(block, weights, memory, in_first, [&](int at, float value) { memory.first[at] = value; });
    blur_roots_along_x(block, weights, memory, in_first);
    const HalfSums halves = block.reduce(
        kColumnItems, HalfSums{},
        [&](int i) {
          HalfSums sum{};
          float blurred[kRun];
          blur_along_y(memory.lines, i, weights, blurred);
          for (int k = 0; k < kRun; ++k) {
            const int at = (item_row(i) + k) * kTileWidth + item_column(i);
            if (memory.whole[at] == 0.0F) continue;
            const HalfQuotients by = half_quotients(memory.whole[at], memory.first[at]);
            if (by.first == 0.0F) continue;
            const double a = static_cast<double>(blurred[k]) * static_cast<double>(by.first);
            const double b = static_cast<double>(memory.blurred[at] - blurred[k]) * static_cast<double>(by.second);
            sum = {sum.n + 1.0, sum.a + a, sum.b + b, fma(a, a, sum.aa), fma(b, b, sum.bb), fma(a, b, sum.ab)};
          }
          return sum;
        },
        [](const HalfSums& a, const HalfSums& b) { return a + b; }, memory.halves);
    block.once([&] { to.halves[split] = halves; });
  }
}

// Block = image. Writes the statistics from `blur_sqrt` on.
template <typename Block>
IMN_DEVICE_CODE void finish_roots_block(Block& block, int tiles, const preprocess::ImageFacts* facts,
                                        const RootFacts* roots, const RootSums* sums, float* out, RootSums* scratch) {
  const std::int64_t image = block.x();
  float* to = out + image * kStatistics + static_cast<int>(Statistic::blur_sqrt);
  static_assert(static_cast<int>(Statistic::reliability) == static_cast<int>(Statistic::blur_sqrt) + 1);
  const preprocess::ImageFacts& fact = facts[image];
  if (fact.blank != 0 || roots[image].least == roots[image].greatest) {
    block.once([&] { to[0] = to[1] = 0.0F; });
    return;
  }
  const RootSums all = block.reduce(
      tiles, RootSums{}, [&](int i) { return sums[image * tiles + i]; },
      [](const RootSums& a, const RootSums& b) { return a + b; }, scratch);
  block.once([&] {
    const auto measured = static_cast<double>(fact.measured);
    const double left = all.blurred_squares - all.blurred * all.blurred / measured;
    double sum = 0.0;
    for (int k = 0; k < kSplits; ++k) sum += half_correlation(all.halves[k], all.squares / measured);
    to[0] = static_cast<float>((left > 0.0 ? left : 0.0) / all.squares);
    to[1] = static_cast<float>(sum / kSplits);
  });
}

}  // namespace imn::score
