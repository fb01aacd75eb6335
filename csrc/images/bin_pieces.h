// Pieces: what one launch of a binning kernel takes, and what of it a thread block does.
//
// A block makes some images of some pixels. Neighbouring blocks take neighbouring windows of the same pixels, so that
// what they share of a spectrum is still in the cache; the grid has one dimension, which no real section outgrows.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "core/error.h"
#include "core/host_device.h"
#include "images/bin_views.h"

namespace imn::images {

// Of one launch. Kernels take them as a parameter, and all parameters together 4 KB.
inline constexpr std::int32_t kMostPieces = 64;

template <typename Data>
struct Pieces {
  std::int32_t n = 0;
  std::int32_t first_block[kMostPieces];  // blocks of pixels before the piece
  PixelView pixels[kMostPieces];
  Data data[kMostPieces];
};

// How a kernel is cut: threads of a block, blocks that a multiprocessor shall hold at once, pixels of a block. The
// bodies take any.
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

// Which part of a launch a block does: blocks of pixels are counted through all pieces.
struct BlockPlace {
  std::int32_t piece;
  std::int32_t pixel;    // the first, in the piece
  std::int32_t windows;  // which block of windows
};

template <typename Shape, typename Data>
IMN_HOST_DEVICE BlockPlace place_of(const Pieces<Data>& pieces, std::int32_t block, std::int32_t window_blocks) {
  const std::int32_t pixels = block / window_blocks;
  std::int32_t first = 0;
  std::int32_t last = pieces.n - 1;
  while (first < last) {  // the last piece that begins at this block or before
    const std::int32_t middle = (first + last + 1) / 2;
    if (pieces.first_block[middle] <= pixels) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  return {first, (pixels - pieces.first_block[first]) * Shape::kPixels, block % window_blocks};
}

// Calls launch(pieces, blocks, layers) for as many launches as it takes, none for no blocks. layers: most of a pixel.
template <typename Shape, typename Data, typename Launch>
void each_launch(std::span<const Piece<Data>> given, std::int32_t window_blocks, Launch&& launch) {
  constexpr std::int64_t kMostBlocks = std::numeric_limits<std::int32_t>::max();
  if (window_blocks == 0) return;
  Pieces<Data> pieces;
  std::int64_t pixel_blocks = 0;
  std::int32_t layers = 0;
  const auto flush = [&] {
    if (pixel_blocks > 0) launch(pieces, static_cast<std::int32_t>(pixel_blocks * window_blocks), layers);
    pieces.n = 0;
    pixel_blocks = 0;
    layers = 0;
  };
  for (const Piece<Data>& piece : given) {
    const std::int32_t own = blocks_for(piece.pixels.n, Shape::kPixels);
    if (std::int64_t{own} * window_blocks > kMostBlocks) throw ArgumentError("binning: too many pixels and windows");
    if (pieces.n == kMostPieces || (pixel_blocks + own) * window_blocks > kMostBlocks) flush();
    pieces.first_block[pieces.n] = static_cast<std::int32_t>(pixel_blocks);
    pieces.pixels[pieces.n] = piece.pixels;
    pieces.data[pieces.n] = piece.data;
    ++pieces.n;
    pixel_blocks += own;
    if (piece.pixels.layers > layers) layers = piece.pixels.layers;
  }
  flush();
}

// The row that holds spectrum number `layer` of a pixel; -1: it has no such spectrum.
IMN_HOST_DEVICE inline std::int32_t row_of(const PixelView& pixels, std::int32_t pixel, std::int32_t layer) {
  if (pixel >= pixels.n) return -1;
  const std::int32_t row = pixels.row_first[pixel] + layer;
  return row < pixels.row_first[pixel + 1] ? row : -1;
}

}  // namespace imn::images
