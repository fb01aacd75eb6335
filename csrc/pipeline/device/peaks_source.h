// PeaksSource: cuts a processed file into chunks; how its peaks are found and stored is for those who derive from it.
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

  // How many pixels are found at a time.
  virtual std::int64_t find_ahead() const = 0;
  // Finds the peaks of rows [begin, end) of this load and writes their number to counts[row - begin]; those from `kept`
  // to begin are known and not yet in a chunk. A load begins with kept = begin = 0.
  virtual void find(std::int64_t kept, std::int64_t begin, std::int64_t end, std::int64_t* counts,
                    const std::atomic<bool>& stop) = 0;
  // Writes m/z and values of the chunk's rows, of which row r begins at start[r].
  virtual void store(const Chunk& chunk, const std::int64_t* start, std::byte* mz, std::byte* values,
                     const std::atomic<bool>& stop) = 0;

  std::int64_t row_of(std::int64_t pixel) const { return file_.pixels.row_first[static_cast<std::size_t>(pixel)]; }
  std::int64_t spectrum_of(std::int64_t row) const { return file_.pixels.spectrum[static_cast<std::size_t>(row)]; }
  std::pair<double, double> mz_range() const { return images::strip_mz(file_.plan, file_.loads[load_]); }
  bool is_last_load() const { return load_ + 1 == file_.loads.size(); }

  const FileToRead& file_;
  Workers workers_;

 private:
  // Of the next n pixels, which are found.
  std::int64_t peaks(std::int64_t n) const;
  // How many of those that are found fit; one that does not has no other place.
  std::int64_t largest(Chunk chunk) const;
  void find_further(const std::atomic<bool>& stop);
  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop);

  SourceOptions options_;
  std::size_t load_ = 0;
  std::int64_t first_ = 0;            // pixels before this one are in chunks
  std::int64_t found_end_ = 0;        // those before this one are found
  std::vector<std::int64_t> before_;  // of this load: peaks of all rows before each; one more than rows are found
};

// Reads into scratch and converts: any file.
std::unique_ptr<ChunkSource> make_converted_peaks_source(const FileToRead& file, const SourceOptions& options);
// For files that stream, without a copy in between.
std::unique_ptr<ChunkSource> make_streamed_peaks_source(const FileToRead& file, const SourceOptions& options);

}  // namespace imn::pipeline
