// How much of an image's variance a Gaussian blur leaves.
#pragma once

#include <cstdint>
#include <vector>

#include "score/statistics_image.h"

namespace imn::score {

// Memory of one worker. What the measured pixels alone decide is kept until they change: they are the same in all
// images of a section.
class BlurredVariance {
 public:
  // Variance over measured pixels of blur(x * m) / blur(m), as a share of the variance of x; sigma 2, cut off at 8
  // pixels; m = 1 where measured. Needs take_deviations().
  float operator()(const NormalisedImage& image);

 private:
  void prepare(const NormalisedImage& image);
  void blur_lines(const float* plane);

  std::int32_t height_ = 0;
  std::int32_t width_ = 0;
  std::vector<std::uint8_t> measured_;
  std::vector<float> quotient_;  // 1 / blur(m); 0 where not measured
  std::vector<float> line_;      // a row with zeros on both sides
  std::vector<float> lines_;     // the plane blurred along x, with rows of zeros above and below
};

}  // namespace imn::score
