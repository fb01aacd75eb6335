// Two groups of pixels of a section, and the evidence that one of them is the sample.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "preprocess/sample_images.h"

namespace imn::preprocess {

// What the splits of one section share; non-owning but for the vectors of one value a channel. Matrices have one row a
// channel; `smooth` and `standard` one column a block that is there, `roots` one column a block of the grid.
struct SplitInput {
  const BlockGrid& grid;
  const Doubles2& roots;
  const Doubles2& smooth;
  const Doubles2& standard;      // smooth, with mean 0 and variance 1
  std::vector<double> variance;  // of roots
  std::vector<double> votes;     // sum 1
  int threads = 0;
};

// `position` along a direction and `upper` (1 = above Otsu's threshold), one value a block that is there; Ashman's D;
// log odds that the upper, and that the lower group is the sample and the other is not, against all being sample.
struct Split {
  std::vector<double> position;
  Flags upper;
  double separation = 0.0;
  double log_odds_upper = 0.0;
  double log_odds_lower = 0.0;
};

// Sharpens a direction (one weight a channel) into the diagonal linear discriminant of the two groups that it splits.
// nullopt: all pixels fall into one group.
std::optional<Split> split(const SplitInput& input, std::vector<double> direction);

// Otsu's threshold on a histogram of 128 equal bins: the upper edge of the last bin of the lower group.
double otsu_threshold(const std::vector<double>& values);

}  // namespace imn::preprocess
