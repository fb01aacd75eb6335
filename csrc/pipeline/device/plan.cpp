#include "pipeline/device/plan.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "pipeline/device/chunk.h"

namespace imn::pipeline {
namespace {

// Larger copies are not faster, and the first one delays the start.
constexpr std::int64_t kMostChunkBytes = std::int64_t{64} << 20;
// Chunks on the device: enough for what is read while a strip of a few batches is preprocessed.
constexpr std::int64_t kMostDeviceChunks = 8;
// Batches prepared ahead: those of a typical strip and the one being scored.
constexpr std::int64_t kMostAhead = 4;
// Enough strips that reading, copying and scoring overlap from early on.
constexpr std::int64_t kStrips = 8;
// With the data on the device there is no reading to overlap with, and binning more windows at once is faster, up to
// this limit.
constexpr std::int64_t kMostStripBytes = std::int64_t{2} << 30;

std::string bytes(std::int64_t n) { return std::to_string(n) + " bytes"; }

}  // namespace

DevicePlan plan_device_loop(const DeviceWork& work, const MemoryLimits& limits) {
  const std::int64_t image_bytes = work.pixels * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t least_chunk = aligned(std::max<std::int64_t>(work.largest_item, ChunkLayout::kAlignment));
  const std::int64_t least_strip = work.images_in_chunks ? 0 : image_bytes;
  const std::int64_t least_device = work.scoring.fixed_bytes + kChunkSlots * least_chunk + least_strip;
  if (limits.device_bytes < least_device) {
    throw ArgumentError("device memory limit of " + bytes(limits.device_bytes) + " is too small; set it to at least " +
                        bytes(least_device));
  }
  if (limits.pinned_bytes < kChunkSlots * least_chunk) {
    throw ArgumentError("pinned memory limit of " + bytes(limits.pinned_bytes) + " is too small; set it to at least " +
                        bytes(kChunkSlots * least_chunk));
  }

  DevicePlan plan;
  const std::int64_t spare = limits.device_bytes - least_device;
  // Half of the spare memory goes to chunks, the rest to the strip of images.
  const std::int64_t by_device = least_chunk + spare / (work.images_in_chunks ? kChunkSlots : 2 * kChunkSlots);
  const std::int64_t wanted = std::min({by_device, limits.pinned_bytes / kChunkSlots, kMostChunkBytes});
  plan.chunk_bytes = std::max(least_chunk, wanted / ChunkLayout::kAlignment * ChunkLayout::kAlignment);

  std::int64_t left = limits.device_bytes - work.scoring.fixed_bytes - kChunkSlots * plan.chunk_bytes;
  // Chunks are rarely full, so plan for half as much again.
  const std::int64_t resident_bytes = work.all_bytes + work.all_bytes / 2 + plan.chunk_bytes;
  if (work.whole_reads && !work.images_in_chunks && resident_bytes + least_strip <= left) {
    plan.resident = true;
    left -= resident_bytes;
  }

  // Use spare memory to run ahead: a quarter of the rest for batches, then one for chunks. If reading is slow
  // (inflating) or the file stays on the device, the device never falls behind, so further chunks would not help.
  const auto quarter = [&] { return (left - least_strip) / 4; };
  if (work.scoring.batch_bytes > 0) {
    plan.batches_ahead = std::clamp<std::int64_t>(1 + quarter() / work.scoring.batch_bytes, 1, kMostAhead);
    left -= (plan.batches_ahead - 1) * work.scoring.batch_bytes;
  }
  if (!work.whole_reads) {
    plan.device_chunks = std::clamp(kChunkSlots + quarter() / plan.chunk_bytes, kChunkSlots, kMostDeviceChunks);
    left -= (plan.device_chunks - kChunkSlots) * plan.chunk_bytes;
  }

  const std::int64_t fit = work.images_in_chunks ? work.n : left / image_bytes;
  std::int64_t images = std::max((work.n + kStrips - 1) / kStrips, work.scoring.batch);
  // Every strip is a pass over the file, so make as few as memory allows.
  if (work.whole_reads && !plan.resident) images = work.n;
  if (plan.resident) images = std::max(images, std::min(work.n, kMostStripBytes / image_bytes));
  images = (images + work.scoring.batch - 1) / work.scoring.batch * work.scoring.batch;
  images = std::min(images, fit);
  if (images > work.scoring.batch) images = images / work.scoring.batch * work.scoring.batch;
  plan.images_per_strip = std::clamp<std::int64_t>(images, 1, std::max<std::int64_t>(1, work.n));
  return plan;
}

}  // namespace imn::pipeline
