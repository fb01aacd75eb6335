// rank_scores: from scores to the ordered, cut list of channels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace imn::pick {

// Indices by descending score; ties keep the lower index first (lower m/z on an ascending axis); NaN ranks last.
std::vector<std::int64_t> rank_scores(std::span<const double> scores);

// How many of the ranked scores survive: at most `top`, all with score >= min_score; both given: both apply.
// NaN never survives a minimum.
std::int64_t cut_ranked(std::span<const double> ranked_scores, std::optional<std::int64_t> top,
                        std::optional<double> min_score);

}  // namespace imn::pick
