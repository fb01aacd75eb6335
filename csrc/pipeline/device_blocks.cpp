#include "pipeline/device_blocks.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "images/bin.h"

namespace imn::pipeline {
namespace {

// Bins between two windows that are cheaper copied than left out.
constexpr std::int64_t kBridge = 64;

}  // namespace

DeviceBlocks::DeviceBlocks(const io::Dataset& dataset, std::span<const images::MzWindow> windows,
                           const DeviceModel& model, const DeviceLimits& limits)
    : dataset_(dataset), windows_(windows), wide_(!dataset.intensities_fit_float32()) {
  images::check_windows(windows);
  DeviceWork work;
  work.n = static_cast<std::int64_t>(windows.size());
  work.pixels = std::int64_t{dataset.width()} * dataset.height();
  work.batch = model.scorer.info.batch;
  // Mask, and the tables of the windows.
  work.fixed_bytes = DeviceBatches::device_bytes(model, work.n) + aligned(work.pixels) + 2 * aligned(work.n * 8);
  work.largest_item = largest_item();
  work.whole_reads = dataset.compressed();
  work.all_bytes = work.whole_reads ? all_bytes() : 0;
  plan_ = plan_device_loop(work, limits);
  while (!cut(plan_.images_per_block)) plan_.images_per_block = (plan_.images_per_block + 1) / 2;
}

std::int64_t DeviceBlocks::largest_item() const {
  std::int64_t largest = 0;
  if (!continuous()) {
    for (const io::Pixel& pixel : dataset_.pixels()) {
      largest = std::max(largest, dataset_.spectrum_length(pixel.spectrum));
    }
    return spectrum_bytes(largest, wide_);
  }
  const auto axis = dataset_.shared_mz();
  if (dataset_.compressed()) return row_bytes(static_cast<std::int64_t>(axis.size()), wide_);
  for (std::int64_t w = 0; w < static_cast<std::int64_t>(windows_.size()); ++w) {
    largest = std::max(largest, pack_rows(axis, windows_, w, w + 1, 0).bins);
  }
  return row_bytes(largest, wide_);
}

std::int64_t DeviceBlocks::all_bytes() const {
  const std::int64_t value = wide_ ? 8 : 4;
  const auto pixels = static_cast<std::int64_t>(dataset_.pixels().size());
  if (continuous()) return pixels * (static_cast<std::int64_t>(dataset_.shared_mz().size()) * value + 4);
  std::int64_t bytes = pixels * 12;
  for (const io::Pixel& pixel : dataset_.pixels()) bytes += dataset_.spectrum_length(pixel.spectrum) * (8 + value);
  return bytes;
}

bool DeviceBlocks::cut(std::int64_t images_per_block) {
  counts_.clear();
  rows_.clear();
  ranges_.clear();
  all_first_.clear();
  all_last_.clear();
  const auto n = static_cast<std::int64_t>(windows_.size());
  for (std::int64_t first = 0; first < n; first += images_per_block) {
    counts_.push_back(std::min(images_per_block, n - first));
  }
  const std::int64_t load = plan_.resident ? n : images_per_block;
  const std::int64_t bridge = dataset_.compressed() ? std::numeric_limits<std::int64_t>::max() : kBridge;
  for (std::int64_t first = 0; first < n; first += load) {
    const std::int64_t last = std::min(first + load, n);
    if (!continuous()) {
      const auto begin = windows_.hi.begin();
      ranges_.push_back({windows_.lo[static_cast<std::size_t>(first)], *std::max_element(begin + first, begin + last)});
      continue;
    }
    PackedRows packed = pack_rows(dataset_.shared_mz(), windows_, first, last, bridge);
    if (row_bytes(packed.bins, wide_) > plan_.chunk_bytes) return false;
    all_first_.insert(all_first_.end(), packed.first_bin.begin(), packed.first_bin.end());
    all_last_.insert(all_last_.end(), packed.last_bin.begin(), packed.last_bin.end());
    rows_.push_back(std::move(packed));
  }
  return true;
}

BlockWindows DeviceBlocks::on_device(std::int64_t block) const {
  const std::int64_t first = block * plan_.images_per_block;
  BlockWindows windows;
  windows.n = counts_[static_cast<std::size_t>(block)];
  if (continuous()) {
    windows.first_bin = first_bin_ + first;
    windows.last_bin = last_bin_ + first;
  } else {
    windows.lo = lo_ + first;
    windows.hi = hi_ + first;
  }
  return windows;
}

std::unique_ptr<ChunkSource> DeviceBlocks::make_source(int threads) const {
  const SourceOptions options{plan_.chunk_bytes, threads, wide_};
  if (continuous()) return make_row_source(dataset_, rows_, options);
  return make_peak_source(dataset_, ranges_, options);
}

}  // namespace imn::pipeline
