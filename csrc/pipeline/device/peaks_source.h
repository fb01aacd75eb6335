// PeaksSource: cuts a processed file into chunks; derived classes find and store the peaks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/workers.h"
#include "pipeline/device/chunk_source.h"

namespace imn::pipeline {

class PeaksSource : public ChunkSource {
 public:
  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) final;

 protected:
  PeaksSource(const FileToRead& file, const SourceOptions& options);

  // Number of pixels whose peaks are searched at a time.
  virtual std::int64_t find_ahead() const = 0;
  // Finds the peaks of rows [begin, end) of this load and writes their number to counts[row - begin]; rows [kept,
  // begin) have been found but are not in a chunk yet. A load begins with kept = begin = 0.
  virtual void find(std::int64_t kept, std::int64_t begin, std::int64_t end, std::int64_t* counts,
                    const std::atomic<bool>& stop) = 0;
  // Writes m/z and intensities of the chunk's rows; row r begins at start[r].
  virtual void store(const Chunk& chunk, const std::int64_t* start, std::byte* mz, std::byte* values,
                     const std::atomic<bool>& stop) = 0;

  std::int64_t row_of(std::int64_t pixel) const { return file_.pixels.row_first[static_cast<std::size_t>(pixel)]; }
  std::int64_t spectrum_of(std::int64_t row) const { return file_.pixels.spectrum[static_cast<std::size_t>(row)]; }
  std::pair<double, double> mz_range() const { return images::strip_mz(file_.plan, file_.loads[load_]); }
  bool is_last_load() const { return load_ + 1 == file_.loads.size(); }

  const FileToRead& file_;
  Workers workers_;

 private:
  // Number of peaks of the next n pixels, which have been found.
  std::int64_t peaks(std::int64_t n) const;
  // Number of pixels found that fit into the chunk, at least 1: chunks are sized for the largest pixel.
  std::int64_t largest(Chunk chunk) const;
  void find_further(const std::atomic<bool>& stop);
  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop);

  SourceOptions options_;
  std::size_t load_ = 0;
  std::int64_t first_ = 0;            // pixels before this one are in chunks
  std::int64_t found_end_ = 0;        // pixels before this one have been found
  std::vector<std::int64_t> before_;  // per row of this load: peaks of all rows before it; one entry more than rows
};

// For any file: reads into scratch memory and converts.
std::unique_ptr<ChunkSource> make_converted_peaks_source(const FileToRead& file, const SourceOptions& options);
// For files that stream: without an intermediate copy.
std::unique_ptr<ChunkSource> make_streamed_peaks_source(const FileToRead& file, const SourceOptions& options);

}  // namespace imn::pipeline
