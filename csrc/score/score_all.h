// score_all: images that are preprocessed already, through the slots of a network.
#pragma once

#include <cstdint>

#include "score/network.h"

namespace imn::score {

// Declares that the results of what was submitted are no longer wanted when an exception leaves the scope: waits until
// nothing writes to them any more, so that their memory may go.
class DrainGuard {
 public:
  explicit DrainGuard(Network& network) : network_(&network) {}
  DrainGuard(const DrainGuard&) = delete;
  DrainGuard& operator=(const DrainGuard&) = delete;
  ~DrainGuard();
  // All is well: waits, and rethrows the first error of a batch.
  void finish();

 private:
  Network* network_;
};

// input (n, channels, height, width) and, where the network takes them, statistics (n, n_statistics), else null
// -> out (n, n_outputs), any n.
void score_all(Network& network, const float* input, const float* statistics, std::int64_t n, float* out);

}  // namespace imn::score
