// ChunkSource: the reading end of the device loop. It fills pinned memory with what the device needs next.
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
  // Writes the next chunk, laid out as layout_of() says and no larger than chunk_bytes; false when there is none left.
  // Reads with threads of its own. Throws what reading throws, and Cancelled once `stop` is true.
  virtual bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) = 0;
};

struct SourceOptions {
  std::int64_t chunk_bytes = 0;
  int threads = 0;  // 0: all
};

// A file that is gone through load by load: a load is a strip of windows whose data are read together, pixel by pixel.
struct FileToRead {
  const io::Plane& plane;
  const images::WindowPlan& plan;
  const images::StagedPixels& pixels;  // all of them
  std::vector<images::WindowStrip> loads;
  ChunkTypes types;
};

// Bytes of the largest part that cannot be cut: all spectra of one pixel, for any single load or, where `whole`, for
// one load of all windows. Continuous files: where `whole` is false, for a load of one window.
std::int64_t largest_item(const FileToRead& file, bool whole);
// Bytes of all of the file in one load.
std::int64_t all_bytes(const FileToRead& file);

// The file must outlive the source.
std::unique_ptr<ChunkSource> make_bins_source(const FileToRead& file, const SourceOptions& options);
std::unique_ptr<ChunkSource> make_peaks_source(const FileToRead& file, const SourceOptions& options);
std::unique_ptr<ChunkSource> make_stack_source(const ImageStack& stack, const SourceOptions& options);

// Where a file's chunks are cut: at multiples of so many pixels, unless fewer fit. Thread blocks take as many, and
// images are then written in whole runs.
inline constexpr std::int64_t kChunkPixels = 32;

// The pixels' tables of a chunk, as both kinds of files have them.
void write_pixels(const images::StagedPixels& pixels, const Chunk& chunk, std::byte* to);
// Pixels [chunk.first, chunk.first + n): sets n, rows and layers.
void take_pixels(const images::StagedPixels& pixels, std::int64_t n, Chunk& chunk);

}  // namespace imn::pipeline
