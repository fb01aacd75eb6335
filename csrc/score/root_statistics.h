// The statistics of the square root of an image: blur_sqrt and reliability.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "score/split_half.h"
#include "score/statistics_image.h"

namespace imn::score {

// Working memory of one worker. Values that depend only on the measured pixels are kept until those change, because
// they are the same in all images of a section.
class RootStatistics {
 public:
  // Takes the root of an image that is not constant, and blurs it.
  void take(const NormalisedImage& image);

  // Of the image taken last; 0 if its root is the same at every measured pixel.
  float blurred_variance() const;
  float reliability();

 private:
  // Planes have kBlurRadius zeros behind each row, which are the margin of the next one, too.
  struct Split {
    std::vector<float> half;           // 1 in the first half, else 0
    std::vector<float> first, second;  // HalfQuotients
    double n = 0;                      // pixels that count
  };

  void prepare(const NormalisedImage& image);
  void blur(const std::vector<float>& plane, std::vector<float>& out);
  std::vector<float> plane() const;
  float* at(std::vector<float>& plane) const;
  const float* at(const std::vector<float>& plane) const;

  std::int32_t height_ = 0;
  std::int32_t width_ = 0;
  std::int64_t stride_ = 0;
  std::int64_t size_ = 0;  // height_ * stride_
  std::vector<std::uint8_t> measured_;
  std::int64_t n_measured_ = 0;
  std::vector<float> is_measured_;  // 1 or 0
  std::vector<float> quotient_;     // 1 / blur(measured); 0 where not measured
  std::array<Split, kSplits> splits_;

  bool constant_ = true;
  double squares_ = 0;             // sum of the squared deviations
  std::vector<float> deviations_;  // of the root from its mean; 0 where not measured
  std::vector<float> blurred_;     // deviations, not divided by the blurred mask
  std::vector<float> part_;        // deviations in the first half
  std::vector<float> blurred_part_;
  std::vector<float> lines_;  // blurred along x, with kBlurRadius rows of zeros above and below
};

}  // namespace imn::score
