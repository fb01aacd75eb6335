#include "pipeline/device/strips.h"

#include <algorithm>
#include <tuple>

namespace imn::pipeline {
namespace {

images::StagedPixels all_pixels(const io::Plane& plane) {
  return images::stage_pixels(plane, 0, static_cast<std::int64_t>(plane.pixels().size()));
}

// Bytes of the tables on the device per window: bounds, bins, lookup.
constexpr std::int64_t kWindowBytes = 64;

}  // namespace

DeviceStrips::DeviceStrips(const io::Plane& plane, std::span<const images::MzWindow> windows,
                           const ScoringNeeds& scoring, const MemoryLimits& limits, bool keep)
    : windows_(images::make_window_plan(plane, windows)),
      pixels_(all_pixels(plane)),
      file_{plane, windows_, pixels_, {}, {!plane.spectra().float_mz(), !plane.spectra().float_intensities()}} {
  DeviceWork work;
  work.scoring = scoring;
  work.scoring.fixed_bytes += static_cast<std::int64_t>(windows.size()) * kWindowBytes +
                              static_cast<std::int64_t>(windows_.lut.size()) * 4 +
                              static_cast<std::int64_t>(plane.image_factors().size() * sizeof(double));
  work.n = static_cast<std::int64_t>(windows.size());
  work.pixels = std::int64_t{plane.geometry().width} * plane.geometry().height;
  work.whole_reads = keep || plane.spectra().compressed();
  work.largest_item = largest_item(file_, work.whole_reads);
  work.all_bytes = work.whole_reads ? all_bytes(file_) : 0;
  plan_ = plan_device_loop(work, limits);
  first_images_ = work.whole_reads ? work.n : scoring.batch;
  // Ends, because one window and one pixel always fit: that is the largest item.
  while (!cut()) plan_.images_per_strip = (plan_.images_per_strip + 1) / 2;
}

bool DeviceStrips::cut() {
  strips_.clear();
  file_.loads.clear();
  const std::int32_t n = windows_.size();
  std::int64_t images = std::min(first_images_, plan_.images_per_strip);
  for (std::int32_t first = 0; first < n;) {
    const std::int64_t half_of_rest = ((n - first + 1) / 2 + first_images_ - 1) / first_images_ * first_images_;
    const auto last = static_cast<std::int32_t>(std::min<std::int64_t>(first + std::min(images, half_of_rest), n));
    strips_.push_back({first, last});
    first = last;
    images = std::min(2 * images, plan_.images_per_strip);
  }
  if (plan_.resident) {
    file_.loads.push_back({0, n});
    return true;
  }
  file_.loads = strips_;
  if (!continuous()) return true;
  return std::all_of(strips_.begin(), strips_.end(), [&](const images::WindowStrip& strip) {
    Chunk chunk;
    chunk.kind = ChunkKind::bins;
    chunk.types = file_.types;
    chunk.n = 1;
    chunk.rows = std::max<std::int32_t>(1, pixels_.layers);
    std::tie(chunk.first_bin, chunk.last_bin) = images::strip_bins(windows_, strip);
    return layout_of(chunk).bytes <= plan_.chunk_bytes;
  });
}

std::unique_ptr<ChunkSource> DeviceStrips::make_source(int threads) const {
  const SourceOptions options{plan_.chunk_bytes, threads};
  return continuous() ? make_bins_source(file_, options) : make_peaks_source(file_, options);
}

}  // namespace imn::pipeline
