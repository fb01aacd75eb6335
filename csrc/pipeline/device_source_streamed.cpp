// Peaks of a processed file whose arrays lie in the file as they go to the device.
#include <algorithm>
#include <vector>

#include "core/stream_copy.h"
#include "core/workers.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {
namespace {

// Pixels whose ranges of peaks are found at a time.
constexpr std::int64_t kFindAhead = 8192;

class StreamedPeaksSource final : public ChunkSource {
 public:
  StreamedPeaksSource(const FileToRead& file, const SourceOptions& options)
      : file_(file),
        options_(options),
        workers_(options.threads),
        found_(static_cast<std::size_t>(file.pixels.rows())) {}

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
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

 private:
  std::int64_t row_of(std::int64_t pixel) const { return file_.pixels.row_first[static_cast<std::size_t>(pixel)]; }
  std::int64_t spectrum_of(std::int64_t row) const { return file_.pixels.spectrum[static_cast<std::size_t>(row)]; }
  const io::PeakRange& found(std::int64_t row) const { return found_[static_cast<std::size_t>(row)]; }

  void take_pixel(Chunk& chunk) const {
    const std::int64_t pixel = chunk.first + chunk.n++;
    const std::int64_t begin = row_of(pixel);
    const std::int64_t end = row_of(pixel + 1);
    chunk.rows += end - begin;
    chunk.layers = std::max(chunk.layers, static_cast<std::int32_t>(end - begin));
    for (std::int64_t r = begin; r < end; ++r) chunk.peaks += found(r).size();
  }

  // Asked once a pixel: a chunk that is far from full is not laid out.
  bool fits(const Chunk& chunk) const {
    const std::int64_t least = chunk.peaks * (chunk.mz_size() + chunk.intensity_size()) + chunk.rows * 8 + chunk.n * 12;
    constexpr std::int64_t kPadding = 8 * ChunkLayout::kAlignment;
    return least + kPadding <= options_.chunk_bytes || layout_of(chunk).bytes <= options_.chunk_bytes;
  }

  void find_further(const std::atomic<bool>& stop) {
    const std::int64_t first = row_of(found_end_);
    found_end_ = std::min<std::int64_t>(found_end_ + kFindAhead, file_.pixels.n());
    const auto [lo, hi] = images::strip_mz(file_.plan, file_.loads[load_]);
    const auto body = [&, lo = lo, hi = hi](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = first + begin; r < first + end; ++r) {
        if (r + 1 < first + end) prefetch_next_load(r + 1);
        find(r, lo, hi);
      }
    };
    workers_.run(row_of(found_end_) - first, 32, body, &stop);
  }

  void find(std::int64_t row, double lo, double hi) {
    io::PeakRange& range = found_[static_cast<std::size_t>(row)];
    range = file_.dataset.find_peaks(spectrum_of(row), lo, hi, range);
    if (load_ + 1 == file_.loads.size()) file_.dataset.check_further_peaks(spectrum_of(row), range);
  }

  // Loads ascend: the next one begins about where the last one ended, and is about as long.
  void prefetch_next_load(std::int64_t row) const {
    const io::PeakRange& last = found(row);
    file_.dataset.prefetch(spectrum_of(row), io::Values::mz, last.last, last.last + last.size());
  }

  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
    write_pixels(file_.pixels, chunk, to);
    const ChunkLayout at = layout_of(chunk);
    auto* start = reinterpret_cast<std::int64_t*>(to + at.row_start);
    start[0] = 0;
    const std::int64_t row = row_of(chunk.first);
    for (std::int64_t r = 0; r < chunk.rows; ++r) start[r + 1] = start[r] + found(row + r).size();
    const auto stream = [&](io::Values values, std::int64_t r, bool wide, std::byte* place) {
      const io::PeakRange& range = found(row + r);
      if (wide) {
        auto* out = reinterpret_cast<double*>(place) + start[r];
        file_.dataset.stream(spectrum_of(row + r), values, range.first, range.last, out);
      } else {
        auto* out = reinterpret_cast<float*>(place) + start[r];
        file_.dataset.stream(spectrum_of(row + r), values, range.first, range.last, out);
      }
    };
    const auto body = [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r) {
        if (r + 1 < end) prefetch(row + r + 1);
        stream(io::Values::mz, r, chunk.types.wide_mz, to + at.mz);
        stream(io::Values::intensity, r, chunk.types.wide_intensity, to + at.values);
      }
      finish_streams();
    };
    workers_.run(chunk.rows, 32, body, &stop);
  }

  void prefetch(std::int64_t row) const {
    const io::PeakRange& range = found(row);
    for (const io::Values values : {io::Values::mz, io::Values::intensity}) {
      file_.dataset.prefetch(spectrum_of(row), values, range.first, range.last);
    }
  }

  const FileToRead& file_;
  SourceOptions options_;
  Workers workers_;
  std::vector<io::PeakRange> found_;  // the peaks of every row: of this load, or else of the one before
  std::int64_t found_end_ = 0;        // those of pixels before this one are of this load
  std::size_t load_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::unique_ptr<ChunkSource> make_streamed_peaks_source(const FileToRead& file, const SourceOptions& options) {
  return std::make_unique<StreamedPeaksSource>(file, options);
}

}  // namespace imn::pipeline
