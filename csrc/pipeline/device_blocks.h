// DeviceBlocks: the m/z blocks of one file: which windows, what of the file they need, and the tables for the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "images/sorted_windows.h"
#include "pipeline/device_backend.h"
#include "pipeline/device_batches.h"
#include "pipeline/device_plan.h"
#include "pipeline/device_source.h"

namespace imn::pipeline {

class DeviceBlocks {
 public:
  // Plans. Throws ArgumentError where the limits are too small or a window makes no sense.
  DeviceBlocks(const io::Dataset& dataset, std::span<const images::MzWindow> windows, const DeviceModel& model,
               const DeviceLimits& limits);

  const DevicePlan& plan() const { return plan_; }
  std::int64_t size() const { return static_cast<std::int64_t>(counts_.size()); }
  // Row in the caller's list of the k-th image.
  std::span<const std::size_t> order() const { return windows_.row; }

  // `to_device(span)` copies a table and gives its address there.
  template <typename ToDevice>
  void upload(ToDevice&& to_device) {
    if (continuous()) {
      first_bin_ = to_device(std::span<const std::int32_t>(all_first_));
      last_bin_ = to_device(std::span<const std::int32_t>(all_last_));
    } else {
      lo_ = to_device(std::span<const double>(windows_.lo));
      hi_ = to_device(std::span<const double>(windows_.hi));
    }
  }
  BlockWindows on_device(std::int64_t block) const;

  // Chunks of all blocks; of all the file at once where the plan says resident.
  std::unique_ptr<ChunkSource> make_source(int threads) const;

 private:
  bool continuous() const { return dataset_.mode() == io::Mode::continuous; }
  std::int64_t largest_item() const;
  std::int64_t all_bytes() const;
  // False where a row of a block does not fit into a chunk.
  bool cut(std::int64_t images_per_block);

  const io::Dataset& dataset_;
  images::SortedWindows windows_;
  bool wide_;
  DevicePlan plan_;
  std::vector<std::int64_t> counts_;         // windows of each block
  std::vector<PackedRows> rows_;             // of each load: a block, or the whole file
  std::vector<images::MzWindow> ranges_;     // likewise
  std::vector<std::int32_t> all_first_, all_last_;
  const std::int32_t* first_bin_ = nullptr;  // on the device, as are those below
  const std::int32_t* last_bin_ = nullptr;
  const double* lo_ = nullptr;
  const double* hi_ = nullptr;
};

}  // namespace imn::pipeline
