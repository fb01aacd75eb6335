#include "score/score_all.h"

#include <algorithm>

#include "core/error.h"

namespace imn::score {

DrainGuard::~DrainGuard() {
  if (scorer_ == nullptr) return;
  try {
    scorer_->drain();
  } catch (...) {  // an earlier error is on its way already
  }
}

void DrainGuard::finish() {
  Scorer* scorer = scorer_;
  scorer_ = nullptr;
  scorer->drain();
}

void score_all(Scorer& scorer, const float* input, const float* statistics, std::int64_t n, float* out) {
  const ScorerInfo& info = scorer.info();
  if ((statistics != nullptr) != (info.n_statistics > 0)) {
    throw ArgumentError(info.n_statistics > 0 ? "this scorer takes the images' statistics beside them"
                                              : "this scorer takes no statistics");
  }
  const std::int64_t values = std::int64_t{info.channels} * info.height * info.width;
  DrainGuard guard(scorer);
  for (std::int64_t begin = 0; begin < n; begin += info.batch) {
    const std::int64_t size = std::min<std::int64_t>(info.batch, n - begin);
    const int slot = scorer.acquire();
    std::copy_n(input + begin * values, size * values, scorer.input(slot));
    if (statistics != nullptr) {
      std::copy_n(statistics + begin * info.n_statistics, size * info.n_statistics, scorer.statistics(slot));
    }
    scorer.submit(slot, size, out + begin * info.n_outputs);
  }
  guard.finish();
}

}  // namespace imn::score
