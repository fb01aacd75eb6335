// Sums over all spectra that do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn::images {

// Adds up `add(spectrum, worker, sums)` over [0, n). The spectra are cut into groups whose number depends only on the
// sizes. Each group adds into separate sums in spectrum order, and the groups are added in order, so that the rounding
// does not depend on the number of threads. Partial sums take at most 64 MiB, or one group.
template <typename Add>
std::vector<double> grouped_sum(std::int64_t n, std::size_t values, int threads, const std::atomic<bool>* cancel,
                                Add&& add) {
  constexpr std::size_t kBudget = std::size_t{1} << 23;  // doubles
  constexpr std::size_t kMostGroups = 64;
  const auto groups = static_cast<std::int64_t>(std::clamp<std::size_t>(
      kBudget / std::max<std::size_t>(1, values), 1,
      std::min<std::size_t>(kMostGroups, static_cast<std::size_t>(std::max<std::int64_t>(1, n)))));
  std::vector<std::vector<double>> partial(static_cast<std::size_t>(groups));
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    for (auto g = begin; g < end; ++g) {
      auto& sums = partial[static_cast<std::size_t>(g)];
      sums.assign(values, 0.0);
      for (auto i = n * g / groups; i < n * (g + 1) / groups; ++i) {
        throw_if_cancelled(cancel);
        add(i, worker, sums.data());
      }
    }
  };
  parallel_for(groups, 1, threads, body, cancel);
  std::vector<double> total = std::move(partial.front());
  for (std::size_t g = 1; g < partial.size(); ++g) {
    for (std::size_t v = 0; v < values; ++v) total[v] += partial[g][v];
    std::vector<double>().swap(partial[g]);
  }
  return total;
}

}  // namespace imn::images
