#include "score/statistics.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"
#include "score/blur.h"
#include "score/chaos.h"
#include "score/moran.h"
#include "score/statistics_image.h"

namespace imn::score {
namespace {

constexpr std::array<const char*, kStatistics> kNames{"moran", "blur", "chaos", "coverage"};

struct Worker {
  preprocess::TopScratch top;
  NormalisedImage image;
  BlurredVariance blur;
  SpatialChaos chaos;

  float statistic(Statistic wanted) {
    if (wanted == Statistic::coverage) {
      const auto n = static_cast<double>(std::max<std::int64_t>(image.n_measured, 1));
      return static_cast<float>(static_cast<double>(image.n_positive) / n);
    }
    if (image.constant) return 0.0F;
    switch (wanted) {
      case Statistic::moran:
        return morans_i(image);
      case Statistic::blur:
        return blur(image);
      default:
        return chaos(image);
    }
  }
};

// out[i * n_wanted + k] = statistic wanted[k] of image i.
void compute(const ImageStack& stack, const Statistic* wanted, std::int64_t n_wanted, int threads, float* out,
             const std::atomic<bool>* cancel) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  const bool deviations =
      std::any_of(wanted, wanted + n_wanted, [](Statistic s) { return s == Statistic::moran || s == Statistic::blur; });
  const int workers = thread_count(threads);
  std::vector<Worker> memory(static_cast<std::size_t>(std::min<std::int64_t>(workers, stack.n)));
  const std::int64_t grain = std::clamp<std::int64_t>(stack.n / (4 * std::int64_t{workers}), 1, 8);
  parallel_for(
      stack.n, grain, workers,
      [&](std::int64_t begin, std::int64_t end, int index) {
        Worker& worker = memory[static_cast<std::size_t>(index)];
        for (std::int64_t i = begin; i < end; ++i) {
          normalise_image(stack, i, worker.top, worker.image);
          if (deviations && !worker.image.constant) take_deviations(worker.image);
          for (std::int64_t k = 0; k < n_wanted; ++k) out[i * n_wanted + k] = worker.statistic(wanted[k]);
        }
      },
      cancel);
}

}  // namespace

Statistic parse_statistic(const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Statistic>(i);
    known += (i == 0 ? "" : ", ") + std::string(kNames[i]);
  }
  throw ArgumentError("unknown statistic '" + name + "'; known: " + known);
}

void image_statistics(const ImageStack& stack, int threads, float* out, const std::atomic<bool>* cancel) {
  constexpr std::array<Statistic, kStatistics> all{Statistic::moran, Statistic::blur, Statistic::chaos,
                                                   Statistic::coverage};
  compute(stack, all.data(), kStatistics, threads, out, cancel);
}

void image_statistic(const ImageStack& stack, Statistic statistic, int threads, float* out) {
  compute(stack, &statistic, 1, threads, out, nullptr);
}

}  // namespace imn::score
