// Exact selection of the largest pixels of an image, without sorting it.
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess/clean_row.h"

namespace imn::preprocess {

// The count-th largest value and the next larger one (the same value if count == 1).
struct TopPair {
  float value;
  float above;
};

// Reusable working memory of one worker.
struct TopScratch {
  std::vector<float> sample, survivors, everything;
};

// Selects among all n pixels of the source, as clean_row() returns them; 1 <= count <= n.
//
// Note [top values]: a sample yields a bound that the wanted values very probably exceed. One pass keeps the values
// above it (a few per cent) and counts those equal to it; the counts then show whether the answer is among these. Ties
// at the bound, the common case in sparse images, need no second pass. Only if the bound was too high does the
// selection run over all pixels.
TopPair top_pair(const PixelSource& source, std::int64_t n, std::int64_t count, TopScratch& scratch);

}  // namespace imn::preprocess
