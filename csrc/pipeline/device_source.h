// ChunkSource: the reading end of the device loop. It fills pinned memory with what the device needs next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/dataset.h"
#include "pipeline/device_chunk.h"
#include "pipeline/device_plan.h"

namespace imn::pipeline {

class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  // Writes the next chunk, laid out as layout_of() says and no larger than the source's chunk_bytes; false when there is
  // none left. Reads with threads of its own. Throws what reading throws, and Cancelled once `stop` is true.
  virtual bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) = 0;
};

struct SourceOptions {
  std::int64_t chunk_bytes = 0;
  int threads = 0;    // 0: all
  bool wide = false;  // values as float64
};

// Bytes of the largest item that cannot be cut: a row of the widest block, the longest spectrum.
std::int64_t row_bytes(std::int64_t bins, bool wide);
std::int64_t spectrum_bytes(std::int64_t peaks, bool wide);

// One block after the other; in each, the measured pixels in their order. References must outlive the source.
std::unique_ptr<ChunkSource> make_row_source(const io::Dataset& dataset, std::span<const PackedRows> blocks,
                                             const SourceOptions& options);
std::unique_ptr<ChunkSource> make_peak_source(const io::Dataset& dataset, std::span<const images::MzWindow> blocks,
                                              const SourceOptions& options);

// Ion images of a stack, or binned by the CPU: what the device cannot bin (pixels with several spectra).
std::unique_ptr<ChunkSource> make_stack_source(const ImageStack& stack, const SourceOptions& options);
std::unique_ptr<ChunkSource> make_binned_source(const io::Dataset& dataset, std::span<const images::MzWindow> windows,
                                                const SourceOptions& options);

}  // namespace imn::pipeline
