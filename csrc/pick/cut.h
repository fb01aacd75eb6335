// How many of the ranked channels are picked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace imn::pick {

// With neither, the threshold of the model cuts; with both, both apply.
struct Cut {
  std::optional<std::int64_t> top;
  std::optional<double> min_score;
};

// Throws ArgumentError if top or min_score is out of range.
void check_cut(const Cut& cut);

// Throws ArgumentError, naming the scorer, if nothing says how many channels are picked. `threshold`: of the model.
void require_cut(const std::string& scorer, const Cut& cut, std::optional<double> threshold);

// The threshold of the model, if it makes the cut.
std::optional<double> cutting_threshold(const Cut& cut, std::optional<double> threshold);

struct Picked {
  std::vector<std::int64_t> rows;  // of the ranked scores, ascending
  std::int64_t excluded = 0;       // rows that would have been picked but for their class
};

// `excluded`: (n), 1 = never picked; empty: none.
Picked pick_ranked(std::span<const double> ranked_scores, const Cut& cut, std::optional<double> threshold,
                   std::span<const std::uint8_t> excluded = {});

}  // namespace imn::pick
