// Where a streaming loop writes its results.
#pragma once

#include <cstdint>
#include <span>

namespace imn::pipeline {

// Results of n images, in the order of the images.
struct Results {
  std::span<float> outputs;       // (n, n_outputs); 0 for blank images and those that a cascade spared the network
  std::span<std::uint8_t> blank;  // (n), 1 = blank (preprocess/blank.h): nothing to score
  std::span<float> reach{};       // (n) of score::find_noise(): NaN unless spared; empty where no cascade is at work
};

// Throws ArgumentError unless `results` has room for n images.
void check_results(std::int64_t n, std::int32_t n_outputs, const Results& results);

}  // namespace imn::pipeline
