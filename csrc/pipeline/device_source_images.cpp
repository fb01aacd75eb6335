// Ion images that are made on the host.
#include <algorithm>
#include <cstring>

#include "core/parallel_for.h"
#include "images/bin.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {
namespace {

// What both sources share: images go out in order, as many as a chunk holds.
class ImageSource : public ChunkSource {
 public:
  ImageSource(std::int64_t n, std::int64_t pixels, const SourceOptions& options)
      : options_(options),
        n_(n),
        pixels_(pixels),
        per_chunk_(std::max<std::int64_t>(1, options.chunk_bytes / (pixels * static_cast<std::int64_t>(sizeof(float))))) {
  }

  bool fill(std::byte* to, Chunk& chunk, const std::atomic<bool>& stop) final {
    if (next_ == n_) return false;
    chunk = {ChunkKind::images, 0, next_, std::min(per_chunk_, n_ - next_), pixels_, 0, false, false};
    write(reinterpret_cast<float*>(to), chunk.first, chunk.n, stop);
    next_ += chunk.n;
    chunk.ends_block = next_ == n_;
    return true;
  }

 protected:
  virtual void write(float* to, std::int64_t first, std::int64_t n, const std::atomic<bool>& stop) = 0;

  SourceOptions options_;
  std::int64_t n_;
  std::int64_t pixels_;

 private:
  std::int64_t per_chunk_;
  std::int64_t next_ = 0;
};

class StackSource final : public ImageSource {
 public:
  StackSource(const ImageStack& stack, const SourceOptions& options)
      : ImageSource(stack.n, stack.pixels(), options), stack_(stack) {}

 private:
  void write(float* to, std::int64_t first, std::int64_t n, const std::atomic<bool>& stop) override {
    const float* from = stack_.image(first);
    constexpr std::int64_t kPiece = std::int64_t{1} << 18;
    parallel_for(
        n * pixels_, kPiece, options_.threads,
        [&](std::int64_t begin, std::int64_t end, int) { std::copy(from + begin, from + end, to + begin); }, &stop);
  }

  ImageStack stack_;
};

class BinnedSource final : public ImageSource {
 public:
  BinnedSource(const io::Dataset& dataset, std::span<const images::MzWindow> windows, const SourceOptions& options)
      : ImageSource(static_cast<std::int64_t>(windows.size()), std::int64_t{dataset.width()} * dataset.height(),
                    options),
        dataset_(dataset),
        windows_(windows) {}

 private:
  void write(float* to, std::int64_t first, std::int64_t n, const std::atomic<bool>& stop) override {
    images::BinOptions options;
    options.threads = options_.threads;
    options.cancel = &stop;
    images::bin_images(dataset_, windows_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)),
                       options, {to, static_cast<std::size_t>(n * pixels_)});
  }

  const io::Dataset& dataset_;
  std::span<const images::MzWindow> windows_;
};

}  // namespace

std::unique_ptr<ChunkSource> make_stack_source(const ImageStack& stack, const SourceOptions& options) {
  return std::make_unique<StackSource>(stack, options);
}

std::unique_ptr<ChunkSource> make_binned_source(const io::Dataset& dataset, std::span<const images::MzWindow> windows,
                                                const SourceOptions& options) {
  return std::make_unique<BinnedSource>(dataset, windows, options);
}

}  // namespace imn::pipeline
