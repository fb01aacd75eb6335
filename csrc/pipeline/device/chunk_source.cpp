#include "pipeline/device/chunk_source.h"

#include <algorithm>
#include <tuple>

#include "core/stream_copy.h"
#include "core/workers.h"

namespace imn::pipeline {
namespace {

Chunk one_pixel(const FileToRead& file, ChunkKind kind) {
  Chunk chunk;
  chunk.kind = kind;
  chunk.types = file.types;
  chunk.n = 1;
  chunk.rows = std::max<std::int32_t>(1, file.pixels.layers);
  return chunk;
}

// Number of peaks of the pixel with the most.
std::int64_t most_peaks(const FileToRead& file) {
  std::int64_t most = 0;
  for (std::int32_t p = 0; p < file.pixels.n(); ++p) {
    std::int64_t peaks = 0;
    for (auto r = file.pixels.row_first[static_cast<std::size_t>(p)];
         r < file.pixels.row_first[static_cast<std::size_t>(p) + 1]; ++r) {
      peaks += file.plane.spectrum_length(file.pixels.spectrum[static_cast<std::size_t>(r)]);
    }
    most = std::max(most, peaks);
  }
  return most;
}

class StackSource final : public ChunkSource {
 public:
  StackSource(const ImageStack& stack, const SourceOptions& options)
      : stack_(stack),
        workers_(options.threads),
        per_chunk_(std::max<std::int64_t>(1, options.chunk_bytes / (stack.pixels() * 4))) {}

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) override {
    if (next_ == stack_.n) return false;
    chunk = {};
    chunk.first = next_;
    chunk.n = std::min(per_chunk_, stack_.n - next_);
    chunk.pixels = stack_.pixels();
    next_ += chunk.n;
    chunk.ends_strip = next_ == stack_.n;
    const float* from = stack_.image(chunk.first);
    auto* out = reinterpret_cast<float*>(to);
    constexpr std::int64_t kGrain = std::int64_t{1} << 16;
    const auto body = [&](std::int64_t begin, std::int64_t end, int) {
      stream_copy(reinterpret_cast<const std::byte*>(from + begin), end - begin, out + begin);
      finish_streams();
    };
    workers_.run(chunk.n * chunk.pixels, kGrain, body, &stop);
    return true;
  }

 private:
  ImageStack stack_;
  Workers workers_;
  std::int64_t per_chunk_;
  std::int64_t next_ = 0;
};

}  // namespace

std::int64_t largest_item(const FileToRead& file, bool whole) {
  if (file.plane.spectra().mode() != io::Mode::continuous) {
    Chunk chunk = one_pixel(file, ChunkKind::peaks);
    chunk.peaks = most_peaks(file);
    return layout_of(chunk).bytes;
  }
  Chunk chunk = one_pixel(file, ChunkKind::bins);
  if (whole) {
    chunk.last_bin = file.plan.compact_size;
    return layout_of(chunk).bytes;
  }
  std::int64_t most = 0;
  for (std::int32_t w = 0; w < file.plan.size(); ++w) {
    std::tie(chunk.first_bin, chunk.last_bin) = images::strip_bins(file.plan, {w, w + 1});
    most = std::max(most, layout_of(chunk).bytes);
  }
  return most;
}

std::int64_t all_bytes(const FileToRead& file) {
  Chunk chunk;
  chunk.types = file.types;
  chunk.n = file.pixels.n();
  chunk.rows = file.pixels.rows();
  if (file.plane.spectra().mode() == io::Mode::continuous) {
    chunk.kind = ChunkKind::bins;
    chunk.last_bin = file.plan.compact_size;
  } else {
    chunk.kind = ChunkKind::peaks;
    for (const std::int64_t spectrum : file.pixels.spectrum) chunk.peaks += file.plane.spectrum_length(spectrum);
  }
  return layout_of(chunk).bytes;
}

void take_pixels(const images::StagedPixels& pixels, std::int64_t n, Chunk& chunk) {
  const auto* first = pixels.row_first.data() + chunk.first;
  chunk.n = n;
  chunk.rows = first[n] - first[0];
  chunk.layers = 0;
  for (std::int64_t p = 0; p < n; ++p) chunk.layers = std::max(chunk.layers, first[p + 1] - first[p]);
}

void write_pixels(const images::StagedPixels& pixels, const Chunk& chunk, std::byte* to) {
  const ChunkLayout at = layout_of(chunk);
  std::copy_n(pixels.index.data() + chunk.first, chunk.n, reinterpret_cast<std::int64_t*>(to + at.index));
  const auto* first = pixels.row_first.data() + chunk.first;
  auto* out = reinterpret_cast<std::int32_t*>(to + at.row_first);
  for (std::int64_t p = 0; p <= chunk.n; ++p) out[p] = first[p] - first[0];
}

std::unique_ptr<ChunkSource> make_stack_source(const ImageStack& stack, const SourceOptions& options) {
  return std::make_unique<StackSource>(stack, options);
}

}  // namespace imn::pipeline
