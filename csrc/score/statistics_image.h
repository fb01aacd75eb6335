// The input of every statistic: the normalised image and its measured pixels.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/image_stack.h"
#include "preprocess/top_values.h"

namespace imn::score {

// Independent partial sums. The compiler may not reorder a sum of doubles, so a single sum would not vectorise.
inline constexpr std::size_t kLanes = 8;
using Lanes = std::array<double, kLanes>;

inline double total(const Lanes& lanes) {
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// One normalised image, rows without gaps. The buffers are reused for the next one.
struct NormalisedImage {
  std::int32_t height = 0;
  std::int32_t width = 0;
  std::vector<std::uint8_t> measured;  // 1 or 0
  std::vector<float> values;           // x in [0, 1]; 0 where not measured
  std::vector<float> deviations;       // x - mean; 0 where not measured
  std::int64_t n_measured = 0;
  std::int64_t n_positive = 0;  // pixels with x > 0
  double squares = 0.0;         // sum of the squared deviations
  bool constant = true;         // x is the same at every measured pixel, or no pixel is measured

  std::int64_t pixels() const { return std::int64_t{height} * width; }
};

// Fills all but `deviations` and `squares`. Reference: reference.preprocess.stretched().
void normalise_image(const ImageStack& stack, std::int64_t image, preprocess::TopScratch& scratch,
                     NormalisedImage& out);

// Fills `deviations` and `squares` of an image that is not constant.
void take_deviations(NormalisedImage& image);

}  // namespace imn::score
