// Peaks of a processed file.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/parallel_for.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {
namespace {

// Spectra that are read ahead of being copied: how many fit into a chunk is known once they are read.
constexpr std::int64_t kReadAhead = 2048;

class PeakSource final : public ChunkSource {
 public:
  PeakSource(const io::Dataset& dataset, std::span<const images::MzWindow> blocks, const SourceOptions& options)
      : dataset_(dataset),
        pixels_(dataset.pixels()),
        blocks_(blocks),
        options_(options),
        spectra_(static_cast<std::size_t>(std::min<std::int64_t>(kReadAhead, static_cast<std::int64_t>(pixels_.size())))) {
  }

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
    if (block_ == blocks_.size() || pixels_.empty()) return false;
    const auto all = static_cast<std::int64_t>(pixels_.size());
    if (used_ == read_) read_ahead(stop);
    chunk = {ChunkKind::peaks, static_cast<std::int64_t>(block_), first_, 0, 0, 0, options_.wide, false};
    std::int64_t used = used_;
    while (used < read_) {
      Chunk larger = chunk;
      ++larger.n;
      larger.peaks += size(used);
      if (chunk.n > 0 && layout_of(larger).bytes > options_.chunk_bytes) break;
      chunk = larger;
      ++used;
    }
    chunk.ends_block = first_ + chunk.n == all;
    write(to, chunk, stop);
    used_ = used;
    first_ = chunk.ends_block ? 0 : first_ + chunk.n;
    if (chunk.ends_block) {
      ++block_;
      used_ = read_ = 0;
    }
    return true;
  }

 private:
  std::int64_t size(std::int64_t k) const {
    return static_cast<std::int64_t>(spectra_[static_cast<std::size_t>(k)].mz.size());
  }

  void read_ahead(const std::atomic<bool>& stop) {
    read_ = std::min(static_cast<std::int64_t>(spectra_.size()), static_cast<std::int64_t>(pixels_.size()) - first_);
    used_ = 0;
    const images::MzWindow range = blocks_[block_];
    parallel_for(
        read_, 16, options_.threads,
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t k = begin; k < end; ++k) {
            const io::Pixel& pixel = pixels_[static_cast<std::size_t>(first_ + k)];
            dataset_.read_spectrum(pixel.spectrum, range.lo, range.hi, spectra_[static_cast<std::size_t>(k)]);
          }
        },
        &stop);
  }

  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
    const ChunkLayout at = layout_of(chunk);
    auto* pixel = reinterpret_cast<std::int32_t*>(to + at.pixel);
    auto* offset = reinterpret_cast<std::int64_t*>(to + at.offset);
    auto* mz = reinterpret_cast<double*>(to + at.mz);
    offset[0] = 0;
    for (std::int64_t i = 0; i < chunk.n; ++i) {
      pixel[i] = static_cast<std::int32_t>(pixels_[static_cast<std::size_t>(chunk.first + i)].index);
      offset[i + 1] = offset[i] + size(used_ + i);
    }
    parallel_for(
        chunk.n, 64, options_.threads,
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t i = begin; i < end; ++i) {
            const io::Spectrum& spectrum = spectra_[static_cast<std::size_t>(used_ + i)];
            std::copy(spectrum.mz.begin(), spectrum.mz.end(), mz + offset[i]);
            if (chunk.wide) {
              std::copy(spectrum.intensity.begin(), spectrum.intensity.end(),
                        reinterpret_cast<double*>(to + at.values) + offset[i]);
            } else {
              std::transform(spectrum.intensity.begin(), spectrum.intensity.end(),
                             reinterpret_cast<float*>(to + at.values) + offset[i],
                             [](double x) { return static_cast<float>(x); });
            }
          }
        },
        &stop);
  }

  const io::Dataset& dataset_;
  std::span<const io::Pixel> pixels_;
  std::span<const images::MzWindow> blocks_;
  SourceOptions options_;
  std::vector<io::Spectrum> spectra_;  // of the pixels from first_ - used_ on
  std::int64_t read_ = 0;
  std::int64_t used_ = 0;
  std::size_t block_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::int64_t spectrum_bytes(std::int64_t peaks, bool wide) {
  Chunk one{ChunkKind::peaks, 0, 0, 1, 0, peaks, wide, false};
  return layout_of(one).bytes;
}

std::unique_ptr<ChunkSource> make_peak_source(const io::Dataset& dataset, std::span<const images::MzWindow> blocks,
                                              const SourceOptions& options) {
  return std::make_unique<PeakSource>(dataset, blocks, options);
}

}  // namespace imn::pipeline
