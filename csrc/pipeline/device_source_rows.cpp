// Rows of a continuous file.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/parallel_for.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {
namespace {

class RowSource final : public ChunkSource {
 public:
  RowSource(const io::Dataset& dataset, std::span<const PackedRows> blocks, const SourceOptions& options)
      : dataset_(dataset),
        pixels_(dataset.pixels()),
        blocks_(blocks),
        options_(options),
        scratch_(static_cast<std::size_t>(thread_count(options.threads))) {}

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
    if (block_ == blocks_.size() || pixels_.empty()) return false;
    const PackedRows& rows = blocks_[block_];
    const auto left = static_cast<std::int64_t>(pixels_.size()) - first_;
    chunk = {ChunkKind::rows, static_cast<std::int64_t>(block_), first_, 0, rows.bins, 0, options_.wide, false};
    chunk.n = std::min(left, options_.chunk_bytes / (rows.bins * chunk.value_size() + 4));
    // The parts of a chunk are aligned, which takes some bytes more.
    while (chunk.n > 1 && layout_of(chunk).bytes > options_.chunk_bytes) --chunk.n;
    chunk.n = std::max<std::int64_t>(chunk.n, 1);
    chunk.ends_block = chunk.n == left;
    write(to, chunk, rows, stop);
    first_ = chunk.ends_block ? 0 : first_ + chunk.n;
    block_ += chunk.ends_block ? 1 : 0;
    return true;
  }

 private:
  void write(std::byte* to, const Chunk& chunk, const PackedRows& rows, const std::atomic<bool>& stop) {
    const ChunkLayout at = layout_of(chunk);
    const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
      std::vector<double>& row = scratch_[static_cast<std::size_t>(worker)];
      row.resize(static_cast<std::size_t>(rows.bins));
      for (std::int64_t i = begin; i < end; ++i) {
        const io::Pixel& pixel = pixels_[static_cast<std::size_t>(chunk.first + i)];
        const auto index = static_cast<std::int32_t>(pixel.index);
        std::memcpy(to + at.pixel + i * 4, &index, 4);
        double* next = row.data();
        for (const BinPiece& piece : rows.pieces) {
          dataset_.read_bins(pixel.spectrum, piece.first, piece.last, next);
          next += piece.last - piece.first;
        }
        std::byte* values = to + at.values + i * rows.bins * chunk.value_size();
        if (chunk.wide) {
          if (rows.bins > 0) std::memcpy(values, row.data(), static_cast<std::size_t>(rows.bins) * sizeof(double));
        } else {
          auto* narrow = reinterpret_cast<float*>(values);
          for (std::size_t b = 0; b < row.size(); ++b) narrow[b] = static_cast<float>(row[b]);
        }
      }
    };
    parallel_for(chunk.n, 16, options_.threads, body, &stop);
  }

  const io::Dataset& dataset_;
  std::span<const io::Pixel> pixels_;
  std::span<const PackedRows> blocks_;
  SourceOptions options_;
  std::vector<std::vector<double>> scratch_;
  std::size_t block_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::int64_t row_bytes(std::int64_t bins, bool wide) {
  Chunk one{ChunkKind::rows, 0, 0, 1, bins, 0, wide, false};
  return layout_of(one).bytes;
}

std::unique_ptr<ChunkSource> make_row_source(const io::Dataset& dataset, std::span<const PackedRows> blocks,
                                             const SourceOptions& options) {
  return std::make_unique<RowSource>(dataset, blocks, options);
}

}  // namespace imn::pipeline
