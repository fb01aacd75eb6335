// ChunkSource of processed files that are compressed or to be repaired: reads spectra and converts them.
#include <utility>
#include <vector>

#include "pipeline/device/peaks_source.h"

namespace imn::pipeline {
namespace {

class ConvertedPeaksSource final : public PeaksSource {
 public:
  ConvertedPeaksSource(const FileToRead& file, const SourceOptions& options) : PeaksSource(file, options) {}

 private:
  // Fewer than when streaming, because their spectra are kept in memory.
  std::int64_t find_ahead() const override { return 2048; }

  void find(std::int64_t kept, std::int64_t begin, std::int64_t end, std::int64_t* counts,
            const std::atomic<bool>& stop) override {
    for (std::int64_t row = kept; row < begin && kept > held_; ++row) {
      std::swap(spectra_[static_cast<std::size_t>(row - kept)], spectra_[place(row)]);
    }
    held_ = kept;
    if (place(end) > spectra_.size()) spectra_.resize(place(end));
    const auto [lo, hi] = mz_range();
    const auto body = [&, lo = lo, hi = hi](std::int64_t from, std::int64_t to, int) {
      for (std::int64_t row = begin + from; row < begin + to; ++row) {
        counts[row - begin] = images::read_peaks(file_.plane, spectrum_of(row), lo, hi, spectra_[place(row)]);
      }
    };
    workers_.run(end - begin, 16, body, &stop);
  }

  void store(const Chunk& chunk, const std::int64_t* start, std::byte* mz, std::byte* values,
             const std::atomic<bool>& stop) override {
    const std::int64_t first = row_of(chunk.first);
    const auto as = [&]<typename M, typename T>(M* all_mz, T* all) {
      const auto body = [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) {
          images::store_peaks(spectra_[place(first + r)], all_mz + start[r], all + start[r]);
        }
      };
      workers_.run(chunk.rows, 64, body, &stop);
    };
    const auto with_mz = [&](auto* all_mz) {
      if (chunk.types.wide_intensity) {
        as(all_mz, reinterpret_cast<double*>(values));
      } else {
        as(all_mz, reinterpret_cast<float*>(values));
      }
    };
    if (chunk.types.wide_mz) {
      with_mz(reinterpret_cast<double*>(mz));
    } else {
      with_mz(reinterpret_cast<float*>(mz));
    }
  }

  std::size_t place(std::int64_t row) const { return static_cast<std::size_t>(row - held_); }

  std::vector<images::StageScratch> spectra_;  // of the rows from held_ on
  std::int64_t held_ = 0;
};

}  // namespace

std::unique_ptr<ChunkSource> make_converted_peaks_source(const FileToRead& file, const SourceOptions& options) {
  return std::make_unique<ConvertedPeaksSource>(file, options);
}

}  // namespace imn::pipeline
