// DeviceStrips: the m/z strips of one file: which windows are binned and scored together, and what of the file is read
// for them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "images/stage.h"
#include "images/window_plan.h"
#include "pipeline/device/chunk_source.h"
#include "pipeline/device/plan.h"

namespace imn::pipeline {

class DeviceStrips {
 public:
  // `keep`: the file shall stay on the device where it fits, also if it is cheap to read in parts. Throws ArgumentError
  // where the limits are too small or a window makes no sense.
  DeviceStrips(const io::Plane& plane, std::span<const images::MzWindow> windows, const ScoringNeeds& scoring,
               const MemoryLimits& limits, bool keep = false);
  DeviceStrips(const DeviceStrips&) = delete;
  DeviceStrips& operator=(const DeviceStrips&) = delete;

  const images::WindowPlan& windows() const { return windows_; }
  const DevicePlan& plan() const { return plan_; }
  std::int64_t size() const { return static_cast<std::int64_t>(strips_.size()); }
  images::WindowStrip at(std::int64_t strip) const { return strips_[static_cast<std::size_t>(strip)]; }
  // Compact bins of a strip; continuous files.
  std::pair<std::int32_t, std::int32_t> bins(std::int64_t strip) const {
    return images::strip_bins(windows_, at(strip));
  }
  // Row in the caller's list of the k-th image.
  std::span<const std::size_t> order() const { return windows_.windows.row; }

  // Chunks strip by strip; of the whole file at once where the plan says resident.
  std::unique_ptr<ChunkSource> make_source(int threads) const;

 private:
  bool continuous() const { return file_.plane.spectra().mode() == io::Mode::continuous; }
  // False where the bins of a strip and one pixel do not fit into a chunk.
  bool cut();

  images::WindowPlan windows_;
  images::StagedPixels pixels_;
  FileToRead file_;
  DevicePlan plan_;
  // Of the first strip; each is twice the one before until plan_.images_per_strip, and at the end half of what is left.
  // The first one is read soon, so that scoring starts early; after the last one is read, little is left to score.
  std::int64_t first_images_ = 1;
  std::vector<images::WindowStrip> strips_;
};

}  // namespace imn::pipeline
