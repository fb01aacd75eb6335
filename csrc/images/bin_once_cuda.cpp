// bin_images on a GPU, one strip and one block of pixels after the other: for whoever wants images on the host. Picking
// does not come through here: there images stay on the device, and reading overlaps with everything else.
#include <algorithm>
#include <cstring>
#include <span>
#include <tuple>
#include <vector>

#include "core/cuda/buffer.h"
#include "core/cuda/stream.h"
#include "core/parallel_for.h"
#include "images/bin.h"
#include "images/bin_cuda.h"
#include "images/bin_device.h"
#include "images/stage.h"

namespace imn::images {
namespace {

constexpr std::int64_t kStripBytes = std::int64_t{256} << 20;  // images on the device
constexpr std::int64_t kBlockBytes = std::int64_t{64} << 20;   // staged values
constexpr std::int64_t kGrain = 16;                            // spectra a thread reads at a time

class Once {
 public:
  Once(const io::Dataset& dataset, std::span<const MzWindow> windows, const BinOptions& options)
      : dataset_(dataset),
        options_(options),
        pixels_(std::int64_t{dataset.width()} * dataset.height()),
        plan_(make_window_plan(dataset, windows)),
        on_device_(plan_, stream_.get()),
        extra_(dataset.extra_spectra()),
        scratch_(static_cast<std::size_t>(thread_count(options.threads))) {}

  void run(float* out) {
    // Compressed spectra are inflated once a strip.
    const std::int64_t fit = dataset_.compressed() ? plan_.size() : kStripBytes / (4 * pixels_);
    const auto windows = static_cast<std::int32_t>(std::clamp<std::int64_t>(fit, 1, plan_.size()));
    for (WindowStrip strip; strip.first < plan_.size(); strip.first = strip.last) {
      strip.last = std::min(plan_.size(), strip.first + windows);
      bin(strip);
      download(strip, out);
    }
  }

 private:
  void bin(WindowStrip strip) {
    images_.reserve(static_cast<std::size_t>(strip.size() * pixels_));
    const auto measured = static_cast<std::int64_t>(dataset_.pixels().size());
    std::int64_t begin = 0;
    while (begin < measured) {
      // As many pixels as the budget takes, by the most that their spectra can hold.
      std::int64_t bytes = 0;
      std::int64_t end = begin;
      while (end < measured && (end == begin || bytes < kBlockBytes)) {
        const io::Pixel& pixel = dataset_.pixels()[static_cast<std::size_t>(end++)];
        bytes += 16 * dataset_.spectrum_length(pixel.spectrum);
      }
      const StagedPixels staged = stage_pixels(dataset_, extra_, begin, end);
      begin = end;
      const auto index = cuda::upload(std::span(staged.index), stream_.get());
      const auto row_first = cuda::upload(std::span(staged.row_first), stream_.get());
      const PixelView view{index.data(), row_first.data(), staged.n(), staged.rows(), staged.layers};
      const bool narrow = dataset_.float_intensities();
      if (dataset_.mode() == io::Mode::continuous) {
        narrow ? continuous<float>(strip, staged, view) : continuous<double>(strip, staged, view);
      } else if (dataset_.float_mz()) {
        narrow ? processed<float, float>(strip, staged, view) : processed<float, double>(strip, staged, view);
      } else {
        narrow ? processed<double, float>(strip, staged, view) : processed<double, double>(strip, staged, view);
      }
      stream_.synchronize();  // the pinned memory is written again
    }
  }

  template <typename T>
  void continuous(WindowStrip strip, const StagedPixels& staged, const PixelView& view) {
    BinsView<T> bins;
    std::tie(bins.first, bins.last) = strip_bins(plan_, strip);
    constexpr std::int64_t kPack = 16 / sizeof(T);
    bins.stride = (bins.last - bins.first + kPack - 1) / kPack * kPack;
    const std::int64_t row_bytes = bins.stride * static_cast<std::int64_t>(sizeof(T));
    pinned_.reserve(static_cast<std::size_t>(row_bytes * staged.rows()));
    each_row(staged, [&](std::int64_t r, StageScratch& scratch) {
      stage_bins(dataset_, plan_, staged.spectrum[static_cast<std::size_t>(r)], bins.first, bins.last, scratch,
                 reinterpret_cast<T*>(pinned_.data() + r * row_bytes));
    });
    values_.reserve(pinned_.size());
    cuda::copy_async(values_.data(), pinned_.data(), static_cast<std::size_t>(row_bytes * staged.rows()),
                     stream_.get());
    bins.values = reinterpret_cast<const T*>(values_.data());
    const Piece<BinsView<T>> piece{view, bins};
    bin_continuous_cuda(on_device_.view(), strip, std::span(&piece, 1), nullptr, {images_.data(), pixels_},
                        stream_.get());
  }

  template <typename M, typename T>
  void processed(WindowStrip strip, const StagedPixels& staged, const PixelView& view) {
    const auto [lo, hi] = strip_mz(plan_, strip);
    std::vector<StageScratch> rows(static_cast<std::size_t>(staged.rows()));
    std::vector<std::int64_t> row_start(rows.size() + 1, 0);
    each_row(staged, [&, from = lo, to = hi](std::int64_t r, StageScratch&) {
      const auto k = static_cast<std::size_t>(r);
      row_start[k + 1] = read_peaks(dataset_, staged.spectrum[k], from, to, rows[k]);
    });
    for (std::size_t r = 0; r < rows.size(); ++r) row_start[r + 1] += row_start[r];
    // m/z first, then intensities: both parts begin aligned.
    const auto n = static_cast<std::size_t>(row_start.back());
    const std::size_t intensities_at = (n * sizeof(M) + 15) / 16 * 16;
    const std::size_t bytes = intensities_at + (n * sizeof(T) + 15) / 16 * 16;
    pinned_.reserve(bytes);
    each_row(staged, [&](std::int64_t r, StageScratch&) {
      const auto k = static_cast<std::size_t>(r);
      store_peaks(rows[k], reinterpret_cast<M*>(pinned_.data()) + row_start[k],
                  reinterpret_cast<T*>(pinned_.data() + intensities_at) + row_start[k]);
    });
    values_.reserve(bytes);
    cuda::copy_async(values_.data(), pinned_.data(), bytes, stream_.get());
    const auto starts = cuda::upload(std::span(row_start), stream_.get());
    const Piece<PeaksView<M, T>> piece{view,
                                       {reinterpret_cast<const M*>(values_.data()),
                                        reinterpret_cast<const T*>(values_.data() + intensities_at), starts.data()}};
    bin_processed_cuda(on_device_.view(), strip, std::span(&piece, 1), {images_.data(), pixels_}, stream_.get());
    stream_.synchronize();  // before `starts` goes
  }

  template <typename Body>
  void each_row(const StagedPixels& staged, Body&& body) {
    parallel_for(
        staged.rows(), kGrain, options_.threads,
        [&](std::int64_t begin, std::int64_t end, int worker) {
          for (auto r = begin; r < end; ++r) body(r, scratch_[static_cast<std::size_t>(worker)]);
        },
        options_.cancel);
  }

  void download(WindowStrip strip, float* out) {
    pinned_.reserve(static_cast<std::size_t>(pixels_) * sizeof(float));
    for (std::int32_t i = 0; i < strip.size(); ++i) {
      cuda::copy_async(pinned_.data(), reinterpret_cast<const std::byte*>(images_.data() + i * pixels_),
                       static_cast<std::size_t>(pixels_) * sizeof(float), stream_.get());
      stream_.synchronize();
      const std::size_t row = plan_.windows.row[static_cast<std::size_t>(strip.first + i)];
      float* const image = out + row * static_cast<std::size_t>(pixels_);
      // Elsewhere the image holds what has been there: those pixels keep their value.
      for (const io::Pixel& pixel : dataset_.pixels()) {
        std::memcpy(image + pixel.index, pinned_.data() + pixel.index * 4, sizeof(float));
      }
    }
  }

  const io::Dataset& dataset_;
  const BinOptions& options_;
  std::int64_t pixels_;
  cuda::Stream stream_;
  WindowPlan plan_;
  DeviceWindowPlan on_device_;
  ExtraSpectra extra_;
  std::vector<StageScratch> scratch_;
  cuda::PinnedBuffer<std::byte> pinned_;
  cuda::DeviceBuffer<std::byte> values_;
  cuda::DeviceBuffer<float> images_;
};

}  // namespace

void bin_images_cuda(const io::Dataset& dataset, std::span<const MzWindow> windows, const BinOptions& options,
                     std::span<float> out) {
  const cuda::DeviceScope scope(options.device.index);
  std::fill(out.begin(), out.end(), options.unmeasured);
  Once(dataset, windows, options).run(out.data());
}

}  // namespace imn::images
