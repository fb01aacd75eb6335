// score_all: scores preprocessed images through the slots of a network.
#pragma once

#include <cstdint>

#include "score/network.h"

namespace imn::score {

// If an exception leaves the scope, waits until nothing writes to the submitted results any more, so that their memory
// can be freed.
class DrainGuard {
 public:
  explicit DrainGuard(Network& network) : network_(&network) {}
  DrainGuard(const DrainGuard&) = delete;
  DrainGuard& operator=(const DrainGuard&) = delete;
  ~DrainGuard();
  // On success: waits and rethrows the first error of a batch.
  void finish();

 private:
  Network* network_;
};

// Scores any number n of images: input (n, channels, height, width) and, if the network has a second input, statistics
// (n, n_statistics), otherwise null. Writes out (n, n_outputs).
void score_all(Network& network, const float* input, const float* statistics, std::int64_t n, float* out);

}  // namespace imn::score
