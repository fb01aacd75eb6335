// Chunk: what is copied to the device at once, and its layout in memory.
#pragma once

#include <cstdint>

namespace imn::pipeline {

enum class ChunkKind {
  bins,    // pixels of a continuous file: bins of their spectra
  peaks,   // pixels of a processed file: peaks of their spectra
  images,  // existing ion images
};

// Types in which a file's values are copied to the device: the narrowest that represent them exactly.
struct ChunkTypes {
  bool wide_mz = false;  // float64, else float32; peaks only
  bool wide_intensity = false;
};

struct Chunk {
  ChunkKind kind = ChunkKind::images;
  ChunkTypes types;
  std::int64_t strip = 0;      // index of the strip it belongs to
  std::int64_t first = 0;      // first measured pixel, or first image
  std::int64_t n = 0;          // pixels or images
  std::int64_t rows = 0;       // spectra: at least one per pixel
  std::int32_t layers = 0;     // largest number of spectra of a pixel
  std::int32_t first_bin = 0;  // bins: of the compact axis, [first_bin, last_bin)
  std::int32_t last_bin = 0;
  std::int64_t peaks = 0;   // peaks: total of all rows
  std::int64_t pixels = 0;  // images: per image
  bool ends_strip = false;  // the last chunk of its strip

  constexpr std::int64_t mz_size() const { return types.wide_mz ? 8 : 4; }
  constexpr std::int64_t intensity_size() const { return types.wide_intensity ? 8 : 4; }
  // Bins: values from one row to the next; a multiple of 16 bytes.
  constexpr std::int64_t stride() const {
    const std::int64_t unit = 16 / intensity_size();
    return (last_bin - first_bin + unit - 1) / unit * unit;
  }
};

// Byte offsets of the parts of a chunk; multiples of kAlignment.
struct ChunkLayout {
  static constexpr std::int64_t kAlignment = 256;

  std::int64_t index = 0;      // int64 (n): y * width + x of every pixel; bins and peaks
  std::int64_t row_first = 0;  // int32 (n + 1): first row of every pixel; bins and peaks
  std::int64_t row_start = 0;  // int64 (rows + 1): first peak of every row; peaks
  std::int64_t mz = 0;         // (peaks); peaks
  std::int64_t values = 0;     // bins (rows, stride), peaks (peaks), images float32 (n, pixels)
  std::int64_t bytes = 0;
};

constexpr std::int64_t aligned(std::int64_t bytes) {
  return (bytes + ChunkLayout::kAlignment - 1) / ChunkLayout::kAlignment * ChunkLayout::kAlignment;
}

constexpr ChunkLayout layout_of(const Chunk& chunk) {
  ChunkLayout at;
  if (chunk.kind == ChunkKind::images) {
    at.bytes = aligned(chunk.n * chunk.pixels * 4);
    return at;
  }
  at.row_first = aligned(chunk.n * 8);
  at.row_start = at.row_first + aligned((chunk.n + 1) * 4);
  const bool peaks = chunk.kind == ChunkKind::peaks;
  at.mz = at.row_start + (peaks ? aligned((chunk.rows + 1) * 8) : 0);
  at.values = at.mz + (peaks ? aligned(chunk.peaks * chunk.mz_size()) : 0);
  const std::int64_t values = peaks ? chunk.peaks : chunk.rows * chunk.stride();
  at.bytes = at.values + aligned(values * chunk.intensity_size());
  return at;
}

}  // namespace imn::pipeline
