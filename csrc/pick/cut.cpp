#include "pick/cut.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "pick/ranking.h"

namespace imn::pick {

void check_cut(const Cut& cut) {
  if (cut.top && *cut.top < 1) throw ArgumentError("top must be at least 1, got " + std::to_string(*cut.top));
  if (cut.min_score && !std::isfinite(*cut.min_score)) {
    const std::string value = std::isnan(*cut.min_score) ? "nan" : *cut.min_score > 0.0 ? "inf" : "-inf";
    throw ArgumentError("min_score must be a finite number, not " + value);
  }
}

void require_cut(const std::string& scorer, const Cut& cut, std::optional<double> threshold) {
  if (threshold || cut.top || cut.min_score) return;
  throw ArgumentError("scorer '" + scorer + "' has no default threshold: give top or min_score");
}

std::optional<double> cutting_threshold(const Cut& cut, std::optional<double> threshold) {
  return cut.top || cut.min_score ? std::nullopt : threshold;
}

Picked pick_ranked(std::span<const double> ranked_scores, const Cut& cut, std::optional<double> threshold,
                   std::span<const std::uint8_t> excluded) {
  const std::optional<double> least = cut.min_score ? cut.min_score : cutting_threshold(cut, threshold);
  std::vector<std::int64_t> wanted;
  std::vector<double> scores;
  for (std::size_t i = 0; i < ranked_scores.size(); ++i) {
    if (!excluded.empty() && excluded[i] != 0) continue;
    wanted.push_back(static_cast<std::int64_t>(i));
    scores.push_back(ranked_scores[i]);
  }
  Picked picked;
  wanted.resize(static_cast<std::size_t>(cut_ranked(scores, cut.top, least)));
  picked.rows = std::move(wanted);
  std::int64_t above = cut_ranked(ranked_scores, std::nullopt, least);
  // What comes below the last pick was not asked for.
  if (cut.top && static_cast<std::int64_t>(picked.rows.size()) == *cut.top) above = std::min(above, picked.rows.back());
  picked.excluded =
      above - std::count_if(picked.rows.begin(), picked.rows.end(), [&](auto row) { return row < above; });
  return picked;
}

}  // namespace imn::pick
