#include "score/statistics.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"
#include "score/blur.h"
#include "score/chaos.h"
#include "score/moran.h"
#include "score/root_statistics.h"
#include "score/statistics_image.h"

namespace imn::score {
namespace {

struct Worker {
  preprocess::TopScratch top;
  NormalisedImage image;
  BlurredVariance blur;
  SpatialChaos chaos;
  RootStatistics root;

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
      case Statistic::blur_sqrt:
        return root.blurred_variance();
      case Statistic::reliability:
        return root.reliability();
      default:
        return chaos(image);
    }
  }
};

}  // namespace

const char* description(Statistic statistic) {
  switch (statistic) {
    case Statistic::moran:
      return "Moran's I of the ion image over measured pixels (rook neighbours)";
    case Statistic::blur:
      return "share of the ion image's variance that a Gaussian blur of sigma 2 pixels leaves, over measured pixels";
    case Statistic::chaos:
      return "METASPACE's measure of spatial chaos over measured pixels (just below 1 = one connected shape)";
    case Statistic::blur_sqrt:
      return "blur of the square root of the ion image, over measured pixels";
    case Statistic::reliability:
      return "split-half reliability: correlation of two random halves of the measured pixels, each smoothed by itself";
    default:
      return "share of the measured pixels that are not 0";
  }
}

Statistic parse_statistic(const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < kStatisticNames.size(); ++i) {
    if (name == kStatisticNames[i]) return static_cast<Statistic>(i);
    known += (i == 0 ? "" : ", ") + std::string(kStatisticNames[i]);
  }
  throw ArgumentError("unknown statistic '" + name + "'; known: " + known);
}

void image_statistics(const ImageStack& stack, std::span<const Statistic> wanted, int threads, float* out,
                      const std::atomic<bool>* cancel) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  const bool deviations = std::any_of(wanted.begin(), wanted.end(),
                                      [](Statistic s) { return s == Statistic::moran || s == Statistic::blur; });
  const bool roots = std::any_of(wanted.begin(), wanted.end(), uses_root);
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
          if (roots && !worker.image.constant) worker.root.take(worker.image);
          float* to = out + i * static_cast<std::int64_t>(wanted.size());
          for (const Statistic statistic : wanted) *to++ = worker.statistic(statistic);
        }
      },
      cancel);
}

void image_statistics(const ImageStack& stack, int threads, float* out, const std::atomic<bool>* cancel) {
  constexpr std::array<Statistic, kStatistics> all{Statistic::moran,    Statistic::blur,      Statistic::chaos,
                                                   Statistic::coverage, Statistic::blur_sqrt, Statistic::reliability};
  image_statistics(stack, all, threads, out, cancel);
}

}  // namespace imn::score
