// The share of an image's variance that remains after a Gaussian blur.
#pragma once

#include <cstdint>
#include <vector>

#include "score/statistics_image.h"

namespace imn::score {

// Working memory of one worker. Values that depend only on the measured pixels are kept until those change, because
// they are the same in all images of a section.
class BlurredVariance {
 public:
  // Returns the variance over measured pixels of blur(x * m) / blur(m), divided by the variance of x; sigma is 2
  // pixels, cut off at 8, and m = 1 where measured. Call take_deviations() first.
  float operator()(const NormalisedImage& image);

 private:
  void prepare(const NormalisedImage& image);
  void blur_lines(const float* plane);

  std::int32_t height_ = 0;
  std::int32_t width_ = 0;
  std::vector<std::uint8_t> measured_;
  std::vector<float> quotient_;  // 1 / blur(m); 0 where not measured
  std::vector<float> line_;      // a row, padded with zeros on both sides
  std::vector<float> lines_;     // the image blurred along x, padded with rows of zeros above and below
};

}  // namespace imn::score
