// Options and timings of the host's streaming loop.
#pragma once

#include <cstdint>

#include "pipeline/common/progress.h"

namespace imn::pipeline {

inline constexpr std::int64_t kDefaultMemoryLimit = 4'000'000'000;  // bytes

struct HostOptions : LoopControl {
  // Bytes the loop plans with: two strips of images may take a quarter each. The other half is not accounted for in
  // detail: it holds the header's tables, one spectrum and one tile per thread, and the network's batches. The limit
  // does not cover the model itself, the candidate axis (made before the loop), or the pages of mapped files, which
  // the system takes back when it needs them.
  std::int64_t memory_limit = kDefaultMemoryLimit;
};

// Where the time went, in seconds of wall clock. bin_s overlaps with the others: binning has its own thread.
struct HostTimings {
  double bin_s = 0;
  double wait_for_images_s = 0;  // the scoring side had nothing to do
  double preprocess_s = 0;
  double statistics_s = 0;  // statistics that are the network's second input
  double cascade_s = 0;     // finding the images that the network is spared
  double score_s = 0;       // waiting for the network, or computing a classical score
  double total_s = 0;
  std::int64_t strips = 0;
  std::int64_t images_per_strip = 0;
};

}  // namespace imn::pipeline
