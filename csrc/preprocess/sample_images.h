// The images of a section as the sample map uses them: clipped, square-rooted, and averaged over blocks of pixels.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "core/image_stack.h"

namespace imn::preprocess {

using Flags = std::vector<std::uint8_t>;

// Blocks [y, x] of factor x factor pixels; 1 in `there` = the block has a measured pixel.
struct BlockGrid {
  std::int64_t factor = 1;
  std::int64_t height = 0;
  std::int64_t width = 0;
  Flags there;
  std::int64_t count = 0;  // blocks with a measured pixel

  std::int64_t size() const { return height * width; }
};

// `n` images of doubles, image-major and contiguous.
struct Doubles2 {
  std::int64_t n = 0;
  std::int64_t size = 0;
  std::vector<double> values;

  Doubles2(std::int64_t images, std::int64_t pixels)
      : n(images), size(pixels), values(static_cast<std::size_t>(images * pixels)) {}
  double* row(std::int64_t i) { return values.data() + i * size; }
  const double* row(std::int64_t i) const { return values.data() + i * size; }
};

// Covariance of pixels that share an edge, and variance, among the pixels `inside` of one image.
struct Structure {
  double covariance = 0.0;
  double variance = 0.0;
};

// (height*width), 1 = in the mask and not NaN in all images.
Flags measured_in_any(const ImageStack& stack);

// Measured values of image i, clipped at 0 and at their 0.99 quantile and scaled to 0 ... 1, in raster order; zeros if
// the quantile is 0. `scratch` is working memory.
void scaled_image(const ImageStack& stack, std::int64_t i, const Flags& measured, std::vector<float>& scratch,
                  std::vector<double>& out);

// As few pixels a block as leave at most `most` blocks, were all of them full.
BlockGrid block_grid(const ImageStack& stack, const Flags& measured, std::int64_t most);

// Mean over the measured pixels of each block of the square roots of the scaled images; 0 in empty blocks.
Doubles2 block_means(const ImageStack& stack, const Flags& measured, const BlockGrid& grid, int threads,
                     const std::atomic<bool>* cancel);

Structure structure(const double* image, const BlockGrid& grid, const Flags& inside);

// Normalised Gaussian over the blocks that are `there`, cut off at three sigma; 0 elsewhere.
class Smoother {
 public:
  Smoother(const BlockGrid& grid, double sigma);
  void operator()(const double* image, double* out) const;

 private:
  void blur(const std::vector<double>& image, std::vector<double>& out) const;

  const BlockGrid* grid_;
  std::vector<double> kernel_;
  std::vector<double> norm_;
};

}  // namespace imn::preprocess
