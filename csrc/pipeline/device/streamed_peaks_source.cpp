// ChunkSource of processed files whose arrays can be copied to the device without conversion through a spectrum.
#include <vector>

#include "core/stream_copy.h"
#include "pipeline/device/peaks_source.h"

namespace imn::pipeline {
namespace {

class StreamedPeaksSource final : public PeaksSource {
 public:
  StreamedPeaksSource(const FileToRead& file, const SourceOptions& options)
      : PeaksSource(file, options), reader_(file.plane), found_(static_cast<std::size_t>(file.pixels.rows())) {}

 private:
  std::int64_t find_ahead() const override { return 8192; }
  const io::PeakRange& found(std::int64_t row) const { return found_[static_cast<std::size_t>(row)]; }

  void find(std::int64_t, std::int64_t begin, std::int64_t end, std::int64_t* counts,
            const std::atomic<bool>& stop) override {
    const auto [lo, hi] = mz_range();
    const auto body = [&, lo = lo, hi = hi](std::int64_t from, std::int64_t to, int) {
      for (std::int64_t row = begin + from; row < begin + to; ++row) {
        if (row + 1 < begin + to) prefetch_next_load(row + 1);  // the row after the last one belongs to another thread
        io::PeakRange& range = found_[static_cast<std::size_t>(row)];
        range = reader_.find_peaks(spectrum_of(row), lo, hi, range);
        counts[row - begin] = range.size();
        if (is_last_load()) reader_.check_further_peaks(spectrum_of(row), range);
      }
    };
    workers_.run(end - begin, 32, body, &stop);
  }

  // Loads ascend in m/z: the next one begins about where the last one ended and is about as long.
  void prefetch_next_load(std::int64_t row) const {
    const io::PeakRange& last = found(row);
    reader_.prefetch(spectrum_of(row), io::Values::mz, last.last, last.last + last.size());
  }

  void store(const Chunk& chunk, const std::int64_t* start, std::byte* mz, std::byte* values,
             const std::atomic<bool>& stop) override {
    const std::int64_t first = row_of(chunk.first);
    const auto stream = [&](io::Values which, std::int64_t r, bool wide, std::byte* place) {
      const io::PeakRange& range = found(first + r);
      if (wide) {
        auto* out = reinterpret_cast<double*>(place) + start[r];
        reader_.copy(spectrum_of(first + r), which, range.first, range.last, out);
      } else {
        auto* out = reinterpret_cast<float*>(place) + start[r];
        reader_.copy(spectrum_of(first + r), which, range.first, range.last, out);
      }
    };
    const auto body = [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r) {
        if (r + 1 < end) prefetch(first + r + 1);
        stream(io::Values::mz, r, chunk.types.wide_mz, mz);
        stream(io::Values::intensity, r, chunk.types.wide_intensity, values);
      }
      finish_streams();
    };
    workers_.run(chunk.rows, 32, body, &stop);
  }

  void prefetch(std::int64_t row) const {
    const io::PeakRange& range = found(row);
    for (const io::Values values : {io::Values::mz, io::Values::intensity}) {
      reader_.prefetch(spectrum_of(row), values, range.first, range.last);
    }
  }

  io::StreamReader reader_;
  std::vector<io::PeakRange> found_;  // peaks of every row: of this load if already found, else of the previous one
};

}  // namespace

std::unique_ptr<ChunkSource> make_streamed_peaks_source(const FileToRead& file, const SourceOptions& options) {
  return std::make_unique<StreamedPeaksSource>(file, options);
}

}  // namespace imn::pipeline
