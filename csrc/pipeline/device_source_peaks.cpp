// Peaks of a processed file.
#include <algorithm>
#include <utility>

#include "core/parallel_for.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {
namespace {

// Pixels that are read at a time, ahead of being copied: how many fit into a chunk is known once they are read.
constexpr std::int64_t kReadAhead = 2048;

class PeaksSource final : public ChunkSource {
 public:
  PeaksSource(const FileToRead& file, const SourceOptions& options) : file_(file), options_(options) {}

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
    if (load_ == file_.loads.size() || file_.pixels.n() == 0) return false;
    chunk = {};
    chunk.kind = ChunkKind::peaks;
    chunk.types = file_.types;
    chunk.block = static_cast<std::int64_t>(load_);
    chunk.first = first_;
    Chunk whole = chunk;  // the last one that ends at a multiple of kChunkPixels
    while (first_ + chunk.n < file_.pixels.n()) {
      if (first_ + chunk.n == read_end_) read_further(stop);
      Chunk larger = chunk;
      take_pixels_further(larger);
      if (chunk.n > 0 && layout_of(larger).bytes > options_.chunk_bytes) {
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
      read_row_ = read_end_ = 0;
    }
    return true;
  }

 private:
  std::int64_t row_of(std::int64_t pixel) const { return file_.pixels.row_first[static_cast<std::size_t>(pixel)]; }
  std::size_t place(std::int64_t row) const { return static_cast<std::size_t>(row - read_row_); }

  // One pixel more.
  void take_pixels_further(Chunk& chunk) const {
    const std::int64_t pixel = chunk.first + chunk.n++;
    const std::int64_t begin = row_of(pixel);
    const std::int64_t end = row_of(pixel + 1);
    chunk.rows += end - begin;
    chunk.layers = std::max(chunk.layers, static_cast<std::int32_t>(end - begin));
    for (std::int64_t r = begin; r < end; ++r) chunk.peaks += count_[place(r)];
  }

  // Forgets the pixels that are copied, and reads some more.
  void read_further(const std::atomic<bool>& stop) {
    const std::int64_t kept = row_of(read_end_) - row_of(first_);
    for (std::int64_t k = 0, from = row_of(first_) - read_row_; from > 0 && k < kept; ++k) {
      std::swap(spectra_[static_cast<std::size_t>(k)], spectra_[static_cast<std::size_t>(from + k)]);
      count_[static_cast<std::size_t>(k)] = count_[static_cast<std::size_t>(from + k)];
    }
    read_row_ = row_of(first_);
    read_end_ = std::min<std::int64_t>(read_end_ + kReadAhead, file_.pixels.n());
    const std::int64_t rows = row_of(read_end_) - read_row_;
    if (place(read_row_ + rows) > spectra_.size()) spectra_.resize(static_cast<std::size_t>(rows));
    count_.resize(spectra_.size());
    const auto [lo, hi] = images::strip_mz(file_.plan, file_.loads[load_]);
    parallel_for(
        rows - kept, 16, options_.threads,
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t k = kept + begin; k < kept + end; ++k) {
            const auto spectrum = file_.pixels.spectrum[static_cast<std::size_t>(read_row_ + k)];
            const auto at = static_cast<std::size_t>(k);
            count_[at] = images::read_peaks(file_.dataset, spectrum, lo, hi, spectra_[at]);
          }
        },
        &stop);
  }

  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
    write_pixels(file_.pixels, chunk, to);
    const ChunkLayout at = layout_of(chunk);
    auto* start = reinterpret_cast<std::int64_t*>(to + at.row_start);
    start[0] = 0;
    const std::int64_t row = row_of(chunk.first);
    for (std::int64_t r = 0; r < chunk.rows; ++r) start[r + 1] = start[r] + count_[place(row + r)];
    const auto store = [&](auto* mz, auto* intensity) {
      parallel_for(
          chunk.rows, 64, options_.threads,
          [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t r = begin; r < end; ++r) {
              images::store_peaks(spectra_[place(row + r)], mz + start[r], intensity + start[r]);
            }
          },
          &stop);
    };
    const auto with_mz = [&](auto* mz) {
      if (chunk.types.wide_intensity) {
        store(mz, reinterpret_cast<double*>(to + at.values));
      } else {
        store(mz, reinterpret_cast<float*>(to + at.values));
      }
    };
    if (chunk.types.wide_mz) {
      with_mz(reinterpret_cast<double*>(to + at.mz));
    } else {
      with_mz(reinterpret_cast<float*>(to + at.mz));
    }
  }

  const FileToRead& file_;
  SourceOptions options_;
  std::vector<images::StageScratch> spectra_;  // of the rows from read_row_ on
  std::vector<std::int64_t> count_;            // their peaks
  std::int64_t read_row_ = 0;
  std::int64_t read_end_ = 0;  // pixels before this one are read
  std::size_t load_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::unique_ptr<ChunkSource> make_peaks_source(const FileToRead& file, const SourceOptions& options) {
  if (file.dataset.streams()) return make_streamed_peaks_source(file, options);
  return std::make_unique<PeaksSource>(file, options);
}

}  // namespace imn::pipeline
