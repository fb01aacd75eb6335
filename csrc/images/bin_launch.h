// LaunchChunks: the chunks of one launch of a binning kernel, and the part of them that each thread block bins.
//
// A thread block makes some images of some pixels. Neighbouring thread blocks take neighbouring windows of the same
// pixels, so that the spectra they share are still in the cache. The grid has one dimension, which is large enough for
// any real section.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "core/error.h"
#include "core/host_device.h"
#include "images/bin_views.h"

namespace imn::images {

// Per launch. Kernels take them as a parameter, and all parameters together may take 4 KB.
inline constexpr std::int32_t kMostChunks = 64;

template <typename Data>
struct LaunchChunks {
  std::int32_t n = 0;
  std::int32_t first_block[kMostChunks];  // pixel parts before the chunk, of Cut::kPixels pixels each
  PixelView pixels[kMostChunks];
  Data data[kMostChunks];
};

// How a kernel is cut: threads per thread block, thread blocks that a multiprocessor should hold at once, pixels per
// thread block. The kernel bodies accept any values.
template <std::int32_t Threads, std::int32_t Blocks, std::int32_t Pixels>
struct Cut {
  static constexpr std::int32_t kThreads = Threads;
  static constexpr std::int32_t kBlocks = Blocks;
  static constexpr std::int32_t kPixels = Pixels;
  static_assert(Threads % Pixels == 0);
};

IMN_HOST_DEVICE constexpr std::int32_t blocks_for(std::int32_t n, std::int32_t each) {
  return n / each + (n % each != 0 ? 1 : 0);
}

// The part of a launch that a thread block bins. Pixel parts are counted through all chunks.
struct BlockPlace {
  std::int32_t chunk;
  std::int32_t pixel;    // the first one, within the chunk
  std::int32_t windows;  // index of the part of windows
};

template <typename Shape, typename Data>
IMN_HOST_DEVICE BlockPlace place_of(const LaunchChunks<Data>& chunks, std::int32_t block, std::int32_t window_blocks) {
  const std::int32_t pixels = block / window_blocks;
  std::int32_t first = 0;
  std::int32_t last = chunks.n - 1;
  while (first < last) {  // the last chunk that begins at or before this part
    const std::int32_t middle = (first + last + 1) / 2;
    if (chunks.first_block[middle] <= pixels) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  return {first, (pixels - chunks.first_block[first]) * Shape::kPixels, block % window_blocks};
}

// Calls launch(chunks, thread blocks, layers) once per launch needed; never without thread blocks. layers: the largest
// number of spectra of a pixel.
template <typename Shape, typename Data, typename Launch>
void each_launch(std::span<const ChunkView<Data>> given, std::int32_t window_blocks, Launch&& launch) {
  constexpr std::int64_t kMostBlocks = std::numeric_limits<std::int32_t>::max();
  if (window_blocks == 0) return;
  LaunchChunks<Data> chunks;
  std::int64_t pixel_blocks = 0;
  std::int32_t layers = 0;
  const auto flush = [&] {
    if (pixel_blocks > 0) launch(chunks, static_cast<std::int32_t>(pixel_blocks * window_blocks), layers);
    chunks.n = 0;
    pixel_blocks = 0;
    layers = 0;
  };
  for (const ChunkView<Data>& chunk : given) {
    const std::int32_t own = blocks_for(chunk.pixels.n, Shape::kPixels);
    if (std::int64_t{own} * window_blocks > kMostBlocks) throw ArgumentError("binning: too many pixels and windows");
    if (chunks.n == kMostChunks || (pixel_blocks + own) * window_blocks > kMostBlocks) flush();
    chunks.first_block[chunks.n] = static_cast<std::int32_t>(pixel_blocks);
    chunks.pixels[chunks.n] = chunk.pixels;
    chunks.data[chunks.n] = chunk.data;
    ++chunks.n;
    pixel_blocks += own;
    if (chunk.pixels.layers > layers) layers = chunk.pixels.layers;
  }
  flush();
}

// The row of spectrum number `layer` of a pixel; -1 if the pixel has fewer spectra.
IMN_HOST_DEVICE inline std::int32_t row_of(const PixelView& pixels, std::int32_t pixel, std::int32_t layer) {
  if (pixel >= pixels.n) return -1;
  const std::int32_t row = pixels.row_first[pixel] + layer;
  return row < pixels.row_first[pixel + 1] ? row : -1;
}

}  // namespace imn::images
