// How the device loop cuts its work into strips and chunks, and the memory they take.
#pragma once

#include <cstdint>

namespace imn::pipeline {

// Chunks under way: one is filled, one copied, one binned. This is their number in pinned memory; on the device it is
// DevicePlan::device_chunks.
inline constexpr std::int64_t kChunkSlots = 3;

inline constexpr std::int64_t kDefaultPinnedBytes = std::int64_t{192} << 20;

struct MemoryLimits {
  std::int64_t device_bytes = 0;  // all memory of the loop on the device
  // Pinned memory of the loop's chunks; small results and tables come on top.
  std::int64_t pinned_bytes = kDefaultPinnedBytes;
};

// What scoring needs. The memory is on the device, in addition to chunks and strips of images.
struct ScoringNeeds {
  std::int64_t batch = 1;        // of the network
  std::int64_t fixed_bytes = 0;  // for one batch, masks, tables and results
  std::int64_t batch_bytes = 0;  // for each further batch that is prepared ahead
};

// The work of one run.
struct DeviceWork {
  ScoringNeeds scoring;
  std::int64_t n = 0;             // images
  std::int64_t pixels = 0;        // of one image
  std::int64_t largest_item = 0;  // bytes that a chunk must be able to hold
  bool images_in_chunks = false;  // images are uploaded, so no strip of images is needed
  bool whole_reads = false;       // reading a part of a spectrum costs as much as all of it
  std::int64_t all_bytes = 0;     // of all chunks if everything is uploaded once
};

struct DevicePlan {
  std::int64_t images_per_strip = 0;
  std::int64_t chunk_bytes = 0;
  std::int64_t device_chunks = kChunkSlots;  // on the device; unused if resident
  std::int64_t batches_ahead = 1;            // batches prepared before the first of them is scored
  bool resident = false;                     // everything is uploaded once and stays; strips are then binned from it
};

// Strips are whole batches where possible. Throws ArgumentError naming the limit that is too small and the smallest
// sufficient one.
DevicePlan plan_device_loop(const DeviceWork& work, const MemoryLimits& limits);

}  // namespace imn::pipeline
