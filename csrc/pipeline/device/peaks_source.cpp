#include "pipeline/device/peaks_source.h"

#include <algorithm>
#include <ranges>

namespace imn::pipeline {

PeaksSource::PeaksSource(const FileToRead& file, const SourceOptions& options)
    : file_(file),
      workers_(options.threads),
      options_(options),
      before_(static_cast<std::size_t>(file.pixels.rows()) + 1, 0) {}

bool PeaksSource::fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) {
  if (load_ == file_.loads.size() || file_.pixels.n() == 0) return false;
  chunk = {};
  chunk.kind = ChunkKind::peaks;
  chunk.types = file_.types;
  chunk.strip = static_cast<std::int64_t>(load_);
  chunk.first = first_;
  std::int64_t n = 0;
  do {
    if (first_ + n == found_end_) find_further(stop);
    n = largest(chunk);
  } while (first_ + n == found_end_ && found_end_ < file_.pixels.n());
  chunk.ends_strip = first_ + n == file_.pixels.n();
  if (!chunk.ends_strip && n > kChunkPixels) n = n / kChunkPixels * kChunkPixels;
  take_pixels(file_.pixels, n, chunk);
  chunk.peaks = peaks(n);
  write(to, chunk, stop);
  first_ = chunk.ends_strip ? 0 : first_ + n;
  if (chunk.ends_strip) {
    ++load_;
    found_end_ = 0;
  }
  return true;
}

std::int64_t PeaksSource::peaks(std::int64_t n) const {
  return before_[static_cast<std::size_t>(row_of(first_ + n))] - before_[static_cast<std::size_t>(row_of(first_))];
}

std::int64_t PeaksSource::largest(Chunk chunk) const {
  const auto fits = [&](std::int64_t n) {
    chunk.n = n;
    chunk.rows = row_of(first_ + n) - row_of(first_);
    chunk.peaks = peaks(n);
    return layout_of(chunk).bytes <= options_.chunk_bytes;
  };
  const auto more = std::views::iota(std::int64_t{2}, found_end_ - first_ + 1);
  return 1 + (std::ranges::partition_point(more, fits) - more.begin());
}

void PeaksSource::find_further(const std::atomic<bool>& stop) {
  const std::int64_t begin = row_of(found_end_);
  found_end_ = std::min<std::int64_t>(found_end_ + find_ahead(), file_.pixels.n());
  const std::int64_t end = row_of(found_end_);
  std::int64_t* counts = before_.data() + begin + 1;
  find(row_of(first_), begin, end, counts, stop);
  for (std::int64_t k = 0; k < end - begin; ++k) counts[k] += counts[k - 1];
}

void PeaksSource::write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
  write_pixels(file_.pixels, chunk, to);
  const ChunkLayout at = layout_of(chunk);
  auto* start = reinterpret_cast<std::int64_t*>(to + at.row_start);
  const std::int64_t* before = before_.data() + row_of(chunk.first);
  for (std::int64_t r = 0; r <= chunk.rows; ++r) start[r] = before[r] - before[0];
  store(chunk, start, to + at.mz, to + at.values, stop);
}

std::unique_ptr<ChunkSource> make_peaks_source(const FileToRead& file, const SourceOptions& options) {
  return file.plane.spectra().streams() ? make_streamed_peaks_source(file, options)
                                        : make_converted_peaks_source(file, options);
}

}  // namespace imn::pipeline
