#include "testing/bin_emulated.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/error.h"
#include "images/bin.h"
#include "images/stage.h"
#include "testing/emulate_bin.h"

namespace imn::testing {
namespace {

using namespace images;

PlanView view_of(const WindowPlan& plan) {
  return {plan.windows.lo.data(), plan.windows.hi.data(), plan.reach.data(), plan.lut.data(), plan.cells,
          plan.first.data(),      plan.last.data()};
}

PixelView view_of(const StagedPixels& pixels) {
  return {pixels.index.data(), pixels.row_first.data(), pixels.n(), pixels.rows(), pixels.layers};
}

// A growing array of values, stored in whole packs.
template <typename T>
class Packed {
 public:
  // Returns the values, with room for at least n.
  T* room(std::size_t n) {
    constexpr std::size_t kPack = cuda::Pack<T>::kSize;
    packs_.resize(std::max(packs_.size(), n / kPack + 1));
    return packs_.front().values;
  }

 private:
  std::vector<cuda::Pack<T>> packs_;
};

struct Run {
  const io::Plane& dataset;
  const WindowPlan& plan;
  const BinEmulation& emulation;
  StageScratch scratch{};

  template <typename T>
  void continuous(WindowStrip strip, const StagedPixels& pixels, const ImagesView& images) {
    const auto [begin, end] = strip_bins(plan, strip);
    // NaN, because the device does not initialise this memory either.
    std::vector<double> carry(static_cast<std::size_t>(strip.size()) * static_cast<std::size_t>(pixels.rows()),
                              std::numeric_limits<double>::quiet_NaN());
    std::int32_t first = begin;
    do {
      const std::int32_t last = end - first > emulation.bins_per_chunk ? first + emulation.bins_per_chunk : end;
      BinsView<T> bins;
      bins.first = first;
      bins.last = last;
      constexpr std::int32_t kPack = cuda::Pack<T>::kSize;
      bins.stride = (last - first + kPack - 1) / kPack * kPack;
      std::vector<cuda::Pack<T>> memory(static_cast<std::size_t>(bins.stride * pixels.rows() / kPack));
      T* const values = memory.empty() ? nullptr : memory.front().values;
      std::fill_n(values, memory.size() * kPack, std::numeric_limits<T>::quiet_NaN());
      for (std::int32_t r = 0; r < pixels.rows(); ++r) {
        stage_bins(dataset, plan, pixels.spectrum[static_cast<std::size_t>(r)], first, last, scratch,
                   values + r * bins.stride);
      }
      bins.values = values;
      const ChunkView<BinsView<T>> chunk{view_of(pixels), bins};
      emulate_continuous<T>(view_of(plan), strip, {&chunk, 1}, carry.data(), images, emulation.seed);
      first = last;
    } while (first < end);
  }

  template <typename M, typename T>
  void processed(WindowStrip strip, const StagedPixels& pixels, const ImagesView& images) {
    const auto [lo, hi] = strip_mz(plan, strip);
    Packed<M> mz;
    Packed<T> intensity;
    std::vector<std::int64_t> row_start{0};
    for (const std::int64_t spectrum : pixels.spectrum) {
      const auto n = static_cast<std::size_t>(read_peaks(dataset, spectrum, lo, hi, scratch));
      const auto start = static_cast<std::size_t>(row_start.back());
      store_peaks(scratch, mz.room(start + n) + start, intensity.room(start + n) + start);
      row_start.push_back(row_start.back() + static_cast<std::int64_t>(n));
    }
    const ChunkView<PeaksView<M, T>> chunk{view_of(pixels), {mz.room(0), intensity.room(0), row_start.data()}};
    emulate_processed<M, T>(view_of(plan), strip, {&chunk, 1}, images, emulation.seed);
  }

  void bin(WindowStrip strip, const StagedPixels& pixels, const ImagesView& images) {
    const bool narrow = dataset.spectra().float_intensities() && !emulation.wide;
    if (dataset.spectra().mode() == io::Mode::continuous) {
      return narrow ? continuous<float>(strip, pixels, images) : continuous<double>(strip, pixels, images);
    }
    if (dataset.spectra().float_mz() && !emulation.wide) {
      return narrow ? processed<float, float>(strip, pixels, images) : processed<float, double>(strip, pixels, images);
    }
    return narrow ? processed<double, float>(strip, pixels, images) : processed<double, double>(strip, pixels, images);
  }
};

}  // namespace

void bin_images_emulated(const io::Plane& dataset, std::span<const MzWindow> windows, const BinEmulation& emulation,
                         float unmeasured, std::span<float> out) {
  check_windows(windows);
  const auto pixels = std::int64_t{dataset.geometry().width} * dataset.geometry().height;
  if (out.size() != windows.size() * static_cast<std::size_t>(pixels)) {
    throw ArgumentError("bin_images_emulated: output has the wrong size");
  }
  if (emulation.windows_per_strip < 1 || emulation.pixels_per_chunk < 1 || emulation.bins_per_chunk < kBinTile ||
      emulation.bins_per_chunk % kBinTile != 0) {
    throw ArgumentError(
        "bin_images_emulated: strips and chunks must not be empty; bins_per_chunk must be a multiple of the tile");
  }
  std::fill(out.begin(), out.end(), unmeasured);
  const WindowPlan plan = make_window_plan(dataset, windows);
  const auto factors = dataset.image_factors();
  const auto measured = static_cast<std::int64_t>(dataset.pixels().size());
  Run run{dataset, plan, emulation};
  std::vector<float> images;
  for (WindowStrip strip; strip.first < plan.size(); strip.first = strip.last) {
    strip.last = strip.first + std::min(emulation.windows_per_strip, plan.size() - strip.first);
    images.assign(static_cast<std::size_t>(strip.size()) * static_cast<std::size_t>(pixels), unmeasured);
    for (std::int64_t begin = 0; begin < measured; begin += emulation.pixels_per_chunk) {
      const std::int64_t end = std::min(measured, begin + emulation.pixels_per_chunk);
      run.bin(strip, stage_pixels(dataset, begin, end),
              {images.data(), pixels, factors.empty() ? nullptr : factors.data()});
    }
    for (std::int32_t i = 0; i < strip.size(); ++i) {
      const auto row = static_cast<std::int64_t>(plan.windows.row[static_cast<std::size_t>(strip.first + i)]);
      std::copy_n(images.data() + i * pixels, pixels, out.data() + row * pixels);
    }
  }
}

}  // namespace imn::testing
