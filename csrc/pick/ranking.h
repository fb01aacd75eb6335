// Orders channels by score and cuts the list.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace imn::pick {

// Indices by descending score; ties keep the lower index first (lower m/z on an ascending axis); NaN ranks last.
std::vector<std::int64_t> rank_scores(std::span<const double> scores);

// Number of ranked scores to keep: at most `top`, and only those with score >= min_score. NaN is below every min_score.
std::int64_t cut_ranked(std::span<const double> ranked_scores, std::optional<std::int64_t> top,
                        std::optional<double> min_score);

}  // namespace imn::pick
