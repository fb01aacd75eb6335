#include "pick/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace imn::pick {

std::vector<std::int64_t> rank_scores(std::span<const double> scores) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    const double x = scores[static_cast<std::size_t>(a)];
    const double y = scores[static_cast<std::size_t>(b)];
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
    return x > y;
  });
  return order;
}

std::int64_t cut_ranked(std::span<const double> ranked_scores, std::optional<std::int64_t> top,
                        std::optional<double> min_score) {
  auto keep = static_cast<std::int64_t>(ranked_scores.size());
  if (top) keep = std::min(keep, std::max<std::int64_t>(0, *top));
  if (min_score) {
    std::int64_t above = 0;
    while (above < keep && ranked_scores[static_cast<std::size_t>(above)] >= *min_score) ++above;
    keep = above;
  }
  return keep;
}

}  // namespace imn::pick
