// Exact selection near the top of an image, without sorting it.
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess/clean_row.h"

namespace imn::preprocess {

// The count-th largest value and the next larger one (itself where count == 1).
struct TopPair {
  float value;
  float above;
};

// Reusable memory of one worker.
struct TopScratch {
  std::vector<float> sample, survivors, everything;
};

// Over all n pixels of the source, each as clean_row() sees it; 1 <= count <= n.
//
// Note [top values]: a sample gives a bound that the wanted values very probably exceed; one pass keeps what lies above
// it (a few per cent) and counts what equals it; the counts then prove or refute that the answer is among those. Ties
// at the bound, the rule in sparse images, need no second pass. Only a refuted bound costs a selection over all pixels.
TopPair top_pair(const PixelSource& source, std::int64_t n, std::int64_t count, TopScratch& scratch);

}  // namespace imn::preprocess
