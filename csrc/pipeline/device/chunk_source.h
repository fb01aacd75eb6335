// ChunkSource: the reading end of the device loop; fills pinned memory with the data that the device needs next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "images/stage.h"
#include "images/window_plan.h"
#include "io/plane.h"
#include "pipeline/device/chunk.h"

namespace imn::pipeline {

class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  // Writes the next chunk in the layout of layout_of(), at most chunk_bytes; returns false if there is none left. Reads
  // with several threads. Throws whatever reading throws, and Cancelled once `stop` is true.
  virtual bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) = 0;
};

struct SourceOptions {
  std::int64_t chunk_bytes = 0;
  int threads = 0;  // 0: all cores
};

// A file to be read load by load. A load is the strip of windows whose data are read together, pixel by pixel: one
// strip, or all windows if the file stays on the device.
struct FileToRead {
  const io::Plane& plane;
  const images::WindowPlan& plan;
  const images::StagedPixels& pixels;  // all of them
  std::vector<images::WindowStrip> loads;
  ChunkTypes types;
};

// Bytes of the largest part that cannot be cut: all spectra of one pixel, for a load of all windows if `whole`, else
// for any single load (continuous files: a load of one window).
std::int64_t largest_item(const FileToRead& file, bool whole);
// Bytes of the whole file in one load.
std::int64_t all_bytes(const FileToRead& file);

// The file must outlive the source.
std::unique_ptr<ChunkSource> make_bins_source(const FileToRead& file, const SourceOptions& options);
std::unique_ptr<ChunkSource> make_peaks_source(const FileToRead& file, const SourceOptions& options);
std::unique_ptr<ChunkSource> make_stack_source(const ImageStack& stack, const SourceOptions& options);

// A file's chunks are cut at multiples of this many pixels, unless fewer fit. Thread blocks take as many, so that
// images are written in whole runs.
inline constexpr std::int64_t kChunkPixels = 32;

// Writes the pixel tables of a chunk, which both kinds of files have.
void write_pixels(const images::StagedPixels& pixels, const Chunk& chunk, std::byte* to);
// Sets n, rows and layers of the chunk for pixels [chunk.first, chunk.first + n).
void take_pixels(const images::StagedPixels& pixels, std::int64_t n, Chunk& chunk);

}  // namespace imn::pipeline
