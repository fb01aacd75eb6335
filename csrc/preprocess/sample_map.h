// sample_map: which pixels of a section are sample, judged from many of its images together.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/image_stack.h"

namespace imn::preprocess {

// Fewer images, spatially coherent images, or measured pixels than these cannot tell.
inline constexpr std::int64_t kFewestChannels = 3;
inline constexpr std::int64_t kFewestPixels = 64;

// `map`: (height*width), probability from 0 to 1 that a pixel is sample; 0 where not measured.
// `coherent`: (n), 1 = the image was used.
// `off_sample`: probability from 0 to 1 that a part of the measured pixels is not sample.
// `separation`: distance of the two groups of pixels in units of their mean standard deviation.
// `noise`: (n), 0.95 quantile of each image where the map is below 0.5, in units of its 0.99 quantile; NaN if fewer
// than kFewestPixels pixels are.
struct SampleMap {
  std::vector<float> map;
  std::vector<std::uint8_t> coherent;
  double off_sample = 0.0;
  double separation = 0.0;
  std::vector<double> noise;
};

// Specification, algorithm and constants: python/ionmorphnet/reference/sample_map.py. A pixel is measured if it is in
// the mask and not NaN in all images; a NaN in some images counts as 0 there. The stack's own sample map is not read.
// The result does not depend on `threads` (0: all cores). nullopt: the images cannot tell. Throws Cancelled.
std::optional<SampleMap> sample_map(const ImageStack& stack, int threads, const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::preprocess
