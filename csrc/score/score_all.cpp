#include "score/score_all.h"

#include <algorithm>

#include "core/error.h"

namespace imn::score {

DrainGuard::~DrainGuard() {
  if (network_ == nullptr) return;
  try {
    network_->drain();
  } catch (...) {  // an earlier error is on its way already
  }
}

void DrainGuard::finish() {
  Network* network = network_;
  network_ = nullptr;
  network->drain();
}

void score_all(Network& network, const float* input, const float* statistics, std::int64_t n, float* out) {
  const NetworkInfo& info = network.info();
  if ((statistics != nullptr) != (info.n_statistics > 0)) {
    throw ArgumentError(info.n_statistics > 0 ? "this scorer expects the images' statistics as a second input"
                                              : "this scorer takes no statistics");
  }
  const std::int64_t values = std::int64_t{info.channels} * info.height * info.width;
  DrainGuard guard(network);
  for (std::int64_t begin = 0; begin < n; begin += info.batch) {
    const std::int64_t size = std::min<std::int64_t>(info.batch, n - begin);
    const int slot = network.acquire();
    std::copy_n(input + begin * values, size * values, network.input(slot));
    if (statistics != nullptr) {
      std::copy_n(statistics + begin * info.n_statistics, size * info.n_statistics, network.statistics(slot));
    }
    network.submit(slot, size, out + begin * info.n_outputs);
  }
  guard.finish();
}

}  // namespace imn::score
