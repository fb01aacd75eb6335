// Every knob of the streaming loop, once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace imn::pipeline {

struct Options {
  // Bytes the loop plans with: two strips of images, each of a quarter at most. The other half is left, uncounted, for
  // the header's tables, a spectrum and a tile per thread, and the scorer's batches. On top come the model itself, the
  // making of the candidate axis (before the loop), and the mapped files, whose pages the system takes back at need.
  std::int64_t memory_limit = std::int64_t{4} << 30;
  int threads = 0;  // 0: all
  // Called in the calling thread after every batch, and at least every 0.1 s while it waits; may throw to stop.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

// Where the time went, in seconds of wall clock. bin_s overlaps with the others: it runs in a thread of its own.
struct Timings {
  double bin_s = 0;
  double wait_for_images_s = 0;  // the scoring side had nothing to do
  double preprocess_s = 0;
  double statistics_s = 0;  // classical statistics that a network takes beside the images
  double score_s = 0;       // waiting for the scorer (model) or computing (classical)
  double total_s = 0;
  std::int64_t strips = 0;
  std::int64_t images_per_strip = 0;
};

}  // namespace imn::pipeline
