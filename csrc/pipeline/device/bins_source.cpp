// ChunkSource of continuous files: bins.
#include <algorithm>
#include <tuple>

#include "core/workers.h"
#include "pipeline/device/chunk_source.h"

namespace imn::pipeline {
namespace {

// Bytes that a thread takes at a time.
constexpr std::int64_t kGrainBytes = std::int64_t{1} << 18;

class BinsSource final : public ChunkSource {
 public:
  BinsSource(const FileToRead& file, const SourceOptions& options)
      : file_(file),
        options_(options),
        workers_(options.threads),
        scratch_(static_cast<std::size_t>(workers_.size())) {}

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
    if (load_ == file_.loads.size() || file_.pixels.n() == 0) return false;
    chunk = {};
    chunk.kind = ChunkKind::bins;
    chunk.types = file_.types;
    chunk.strip = static_cast<std::int64_t>(load_);
    chunk.first = first_;
    std::tie(chunk.first_bin, chunk.last_bin) = images::strip_bins(file_.plan, file_.loads[load_]);
    const std::int64_t left = file_.pixels.n() - first_;
    // As many pixels as fit even if all have the largest number of spectra.
    const std::int64_t per_pixel =
        std::max<std::int32_t>(1, file_.pixels.layers) * chunk.stride() * chunk.intensity_size() + 12;
    std::int64_t n = std::min(left, options_.chunk_bytes / per_pixel);
    for (take_pixels(file_.pixels, n, chunk); n > 1 && layout_of(chunk).bytes > options_.chunk_bytes;) {
      take_pixels(file_.pixels, --n, chunk);
    }
    if (n < 1) n = 1;
    if (n < left && n > kChunkPixels) n = n / kChunkPixels * kChunkPixels;
    take_pixels(file_.pixels, n, chunk);
    chunk.ends_strip = chunk.n == left;
    write(to, chunk, stop);
    first_ = chunk.ends_strip ? 0 : first_ + chunk.n;
    load_ += chunk.ends_strip ? 1 : 0;
    return true;
  }

 private:
  void write(std::byte* to, const Chunk& chunk, const std::atomic<bool>& stop) {
    write_pixels(file_.pixels, chunk, to);
    std::byte* values = to + layout_of(chunk).values;
    if (chunk.types.wide_intensity) {
      write_rows(reinterpret_cast<double*>(values), chunk, stop);
    } else {
      write_rows(reinterpret_cast<float*>(values), chunk, stop);
    }
  }

  template <typename T>
  void write_rows(T* values, const Chunk& chunk, const std::atomic<bool>& stop) {
    const std::int64_t* spectrum =
        file_.pixels.spectrum.data() + file_.pixels.row_first[static_cast<std::size_t>(chunk.first)];
    const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t r = begin; r < end; ++r) {
        if (r + 1 < end) {
          images::prefetch_bins(file_.plane, file_.plan, spectrum[r + 1], chunk.first_bin, chunk.last_bin);
        }
        images::stage_bins(file_.plane, file_.plan, spectrum[r], chunk.first_bin, chunk.last_bin,
                           scratch_[static_cast<std::size_t>(worker)], values + r * chunk.stride());
      }
    };
    const std::int64_t row_bytes = std::max<std::int64_t>(1, chunk.stride() * chunk.intensity_size());
    workers_.run(chunk.rows, std::clamp<std::int64_t>(kGrainBytes / row_bytes, 1, 1024), body, &stop);
  }

  const FileToRead& file_;
  SourceOptions options_;
  Workers workers_;
  std::vector<images::StageScratch> scratch_;
  std::size_t load_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::unique_ptr<ChunkSource> make_bins_source(const FileToRead& file, const SourceOptions& options) {
  return std::make_unique<BinsSource>(file, options);
}

}  // namespace imn::pipeline
