// DeviceStrips: the strips of one plane: which windows are binned and scored together, and what is read for them.
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
  // `keep`: keep the file on the device if it fits, even if it is cheap to read in parts. Throws ArgumentError if the
  // limits are too small or a window is invalid.
  DeviceStrips(const io::Plane& plane, std::span<const images::MzWindow> windows, const ScoringNeeds& scoring,
               const MemoryLimits& limits, bool keep = false);
  DeviceStrips(const DeviceStrips&) = delete;
  DeviceStrips& operator=(const DeviceStrips&) = delete;

  const images::WindowPlan& windows() const { return windows_; }
  const DevicePlan& plan() const { return plan_; }
  std::int64_t size() const { return static_cast<std::int64_t>(strips_.size()); }
  images::WindowStrip at(std::int64_t strip) const { return strips_[static_cast<std::size_t>(strip)]; }
  // Continuous files: the compact bins of a strip.
  std::pair<std::int32_t, std::int32_t> bins(std::int64_t strip) const {
    return images::strip_bins(windows_, at(strip));
  }
  // For the k-th image, its row in the caller's list.
  std::span<const std::size_t> order() const { return windows_.windows.row; }

  // Yields chunks strip by strip, or of the whole file at once if the plan is resident.
  std::unique_ptr<ChunkSource> make_source(int threads) const;

 private:
  bool continuous() const { return file_.plane.spectra().mode() == io::Mode::continuous; }
  // Returns false if the bins of a strip of one pixel do not fit into a chunk.
  bool cut();

  images::WindowPlan windows_;
  images::StagedPixels pixels_;
  FileToRead file_;
  DevicePlan plan_;
  // Images of the first strip. Each strip is twice the one before until plan_.images_per_strip, and towards the end
  // half of the rest: scoring starts early, and little is left to score once the last strip has been read.
  std::int64_t first_images_ = 1;
  std::vector<images::WindowStrip> strips_;
};

}  // namespace imn::pipeline
