// preprocess: turns ion images into the network's input. Specification: python/ionmorphnet/reference/preprocess.py.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image_stack.h"
#include "preprocess/preprocess_id.h"
#include "preprocess/resize.h"
#include "preprocess/top_values.h"

namespace imn::preprocess {

// Makes the inputs of a section's images. What all of them share is computed once: the resized mask and sample map.
class Preprocessor {
 public:
  // `shape`: size, mask and sample map of all images to come; its images are not read. Mask and map must outlive the
  // Preprocessor. Throws ArgumentError if the images have no pixel.
  Preprocessor(const ImageStack& shape, const PreprocessId& id);

  // out: (images.n, channels, size, size) float32, contiguous, channels in the order of PreprocessId.
  // Per image: q = 0.99 quantile (linear interpolation, rank computed in float32), x = clip(pixel / max(q, 1e-6), 0,
  // 1), then resizing with align_corners=False. Quantile, clip and resize are fused, so that each image is read once.
  // A section without a sample map has the value 0.5 everywhere in that channel.
  void run(const ImageStack& images, int threads, float* out);

 private:
  struct Scratch {  // of one worker; grows to the largest image seen
    TopScratch top;
    ResizeScratch resize;
  };

  void prepare(const ImageStack& images, std::int64_t image, Scratch& scratch, float* out) const;

  PreprocessId id_;
  Resizer resizer_;
  std::int64_t in_mask_ = 0;   // pixels that the mask marks as measured
  std::vector<float> mask_;    // (size, size) of an image whose unmeasured pixels are those of the mask
  std::vector<float> sample_;  // (size, size)
  std::vector<Scratch> scratch_;
};

// The same for one stack.
void preprocess(const ImageStack& stack, const PreprocessId& id, int threads, float* out);

// (size, size): the sample channel of a section's images; `map` (height, width) or null.
std::vector<float> sample_plane(const float* map, const Resizer& resizer);

}  // namespace imn::preprocess
