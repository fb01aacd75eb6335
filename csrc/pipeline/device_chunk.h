// Chunk: what is copied to the device in one go, and how it lies in memory there.
#pragma once

#include <cstdint>

namespace imn::pipeline {

enum class ChunkKind {
  rows,    // measured pixels of a continuous file: one row of bins each
  peaks,   // measured pixels of a processed file: their peaks, one after the other
  images,  // ion images that are made already
};

struct Chunk {
  ChunkKind kind = ChunkKind::images;
  std::int64_t block = 0;    // which m/z block it belongs to
  std::int64_t first = 0;    // first measured pixel, or first image
  std::int64_t n = 0;        // pixels or images
  std::int64_t bins = 0;     // rows: values of one pixel; images: pixels of one image
  std::int64_t peaks = 0;    // peaks: of all pixels together
  bool wide = false;         // values are float64; else float32
  bool ends_block = false;   // the last chunk of its block

  constexpr std::int64_t value_size() const { return wide ? 8 : 4; }
};

// Parts of a chunk, as bytes from its start; each begins at a multiple of kAlignment.
struct ChunkLayout {
  static constexpr std::int64_t kAlignment = 256;

  std::int64_t pixel = 0;   // int32 (n): index y*width + x; rows and peaks only
  std::int64_t offset = 0;  // int64 (n + 1): first peak of every pixel; peaks only
  std::int64_t mz = 0;      // float64 (peaks); peaks only
  std::int64_t values = 0;  // rows (n, bins), peaks (peaks), images (n, bins)
  std::int64_t bytes = 0;
};

constexpr std::int64_t aligned(std::int64_t bytes) {
  return (bytes + ChunkLayout::kAlignment - 1) / ChunkLayout::kAlignment * ChunkLayout::kAlignment;
}

constexpr ChunkLayout layout_of(const Chunk& chunk) {
  ChunkLayout at;
  std::int64_t end = 0;
  if (chunk.kind != ChunkKind::images) end = aligned(chunk.n * 4);
  at.offset = end;
  if (chunk.kind == ChunkKind::peaks) end = aligned(end + (chunk.n + 1) * 8);
  at.mz = end;
  if (chunk.kind == ChunkKind::peaks) end = aligned(end + chunk.peaks * 8);
  at.values = end;
  const std::int64_t values = chunk.kind == ChunkKind::peaks ? chunk.peaks : chunk.n * chunk.bins;
  at.bytes = aligned(end + values * chunk.value_size());
  return at;
}

}  // namespace imn::pipeline
