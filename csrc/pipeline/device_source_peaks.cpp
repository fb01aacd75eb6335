#include "pipeline/device_source_peaks.h"

#include <algorithm>

namespace imn::pipeline {

PeaksSource::PeaksSource(const FileToRead& file, const SourceOptions& options)
    : file_(file), workers_(options.threads), options_(options) {}

bool PeaksSource::fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) {
  if (load_ == file_.loads.size() || file_.pixels.n() == 0) return false;
  chunk = {};
  chunk.kind = ChunkKind::peaks;
  chunk.types = file_.types;
  chunk.block = static_cast<std::int64_t>(load_);
  chunk.first = first_;
  Chunk whole = chunk;  // the last one that ends at a multiple of kChunkPixels
  while (first_ + chunk.n < file_.pixels.n()) {
    if (first_ + chunk.n == found_end_) find_further(stop);
    Chunk larger = chunk;
    take_pixel(larger);
    if (chunk.n > 0 && !fits(larger)) {
      if (whole.n > 0) chunk = whole;
      break;
    }
    chunk = larger;
    if (chunk.n % kChunkPixels == 0) whole = chunk;
  }
  chunk.ends_block = first_ + chunk.n == file_.pixels.n();
  write(to, chunk, stop);
  first_ = chunk.ends_block ? 0 : first_ + chunk.n;
  if (chunk.ends_block) {
    ++load_;
    found_end_ = 0;
  }
  return true;
}

void PeaksSource::take_pixel(Chunk& chunk) const {
  const std::int64_t pixel = chunk.first + chunk.n++;
  const std::int64_t begin = row_of(pixel);
  const std::int64_t end = row_of(pixel + 1);
  chunk.rows += end - begin;
  chunk.layers = std::max(chunk.layers, static_cast<std::int32_t>(end - begin));
  for (std::int64_t r = begin; r < end; ++r) chunk.peaks += count(r);
}

// Asked once a pixel: a chunk that is far from full is not laid out.
bool PeaksSource::fits(const Chunk& chunk) const {
  const std::int64_t least = chunk.peaks * (chunk.mz_size() + chunk.intensity_size()) + chunk.rows * 8 + chunk.n * 12;
  constexpr std::int64_t kPadding = 8 * ChunkLayout::kAlignment;
  return least + kPadding <= options_.chunk_bytes || layout_of(chunk).bytes <= options_.chunk_bytes;
}

void PeaksSource::find_further(const std::atomic<bool>& stop) {
  const std::int64_t begin = found_end_;
  found_end_ = std::min<std::int64_t>(found_end_ + find_ahead(), file_.pixels.n());
  find(row_of(first_), row_of(begin), row_of(found_end_), stop);
}

void PeaksSource::write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
  write_pixels(file_.pixels, chunk, to);
  const ChunkLayout at = layout_of(chunk);
  auto* start = reinterpret_cast<std::int64_t*>(to + at.row_start);
  start[0] = 0;
  const std::int64_t row = row_of(chunk.first);
  for (std::int64_t r = 0; r < chunk.rows; ++r) start[r + 1] = start[r] + count(row + r);
  store(chunk, start, to + at.mz, to + at.values, stop);
}

std::unique_ptr<ChunkSource> make_peaks_source(const FileToRead& file, const SourceOptions& options) {
  return file.dataset.streams() ? make_streamed_peaks_source(file, options)
                                : make_converted_peaks_source(file, options);
}

}  // namespace imn::pipeline
