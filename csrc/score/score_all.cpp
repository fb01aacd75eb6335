#include "score/score_all.h"

#include <algorithm>

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

void score_all(Scorer& scorer, const float* input, std::int64_t n, float* out) {
  const ScorerInfo& info = scorer.info();
  const std::int64_t values = std::int64_t{info.channels} * info.height * info.width;
  DrainGuard guard(scorer);
  for (std::int64_t begin = 0; begin < n; begin += info.batch) {
    const std::int64_t size = std::min<std::int64_t>(info.batch, n - begin);
    const int slot = scorer.acquire();
    std::copy_n(input + begin * values, size * values, scorer.input(slot));
    scorer.submit(slot, size, out + begin * info.n_outputs);
  }
  guard.finish();
}

}  // namespace imn::score
