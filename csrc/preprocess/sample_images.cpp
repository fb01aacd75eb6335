#include "preprocess/sample_images.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/parallel_for.h"
#include "preprocess/quantile.h"

namespace imn::preprocess {
namespace {

// The 0.99 quantile of finite or infinite values without NaN; reorders them.
float quantile99(std::vector<float>& values) {
  const QuantileRank rank = quantile_rank(static_cast<std::int64_t>(values.size()));
  const auto below = values.begin() + rank.below;
  std::nth_element(values.begin(), below, values.end());
  const float above = below + 1 == values.end() ? *below : *std::min_element(below + 1, values.end());
  return quantile_between(*below, above, rank.weight);
}

}  // namespace

Flags measured_in_any(const ImageStack& stack) {
  Flags measured(static_cast<std::size_t>(stack.pixels()));
  for (std::int64_t i = 0; i < stack.n; ++i) {
    const float* image = stack.image(i);
    for (std::size_t p = 0; p < measured.size(); ++p) measured[p] |= std::uint8_t{image[p] == image[p]};
  }
  if (stack.mask != nullptr) {
    for (std::size_t p = 0; p < measured.size(); ++p) measured[p] &= std::uint8_t{stack.mask[p] != 0};
  }
  return measured;
}

void scaled_image(const ImageStack& stack, std::int64_t i, const Flags& measured, std::vector<float>& scratch,
                  std::vector<double>& out) {
  const float* image = stack.image(i);
  scratch.clear();
  for (std::size_t p = 0; p < measured.size(); ++p) {
    if (measured[p] != 0) scratch.push_back(image[p] > 0.0F ? image[p] : 0.0F);  // NaN is not above 0 either
  }
  out.assign(scratch.begin(), scratch.end());
  const double quantile = quantile99(scratch);
  for (double& value : out) value = quantile > 0.0 ? std::min(value / quantile, 1.0) : 0.0;
}

BlockGrid block_grid(const ImageStack& stack, const Flags& measured, std::int64_t most) {
  const auto n = static_cast<double>(std::count(measured.begin(), measured.end(), 1));
  BlockGrid grid;
  grid.factor = static_cast<std::int64_t>(std::ceil(std::sqrt(std::max(1.0, n / static_cast<double>(most)))));
  grid.height = (stack.height + grid.factor - 1) / grid.factor;
  grid.width = (stack.width + grid.factor - 1) / grid.factor;
  grid.there.resize(static_cast<std::size_t>(grid.size()));
  for (std::int64_t p = 0; p < stack.pixels(); ++p) {
    const std::int64_t block = p / stack.width / grid.factor * grid.width + p % stack.width / grid.factor;
    grid.there[static_cast<std::size_t>(block)] |= measured[static_cast<std::size_t>(p)];
  }
  grid.count = std::count(grid.there.begin(), grid.there.end(), 1);
  return grid;
}

Doubles2 block_means(const ImageStack& stack, const Flags& measured, const BlockGrid& grid, int threads,
                     const std::atomic<bool>* cancel) {
  // Block of each measured pixel, in raster order.
  std::vector<std::int64_t> block;
  std::vector<double> pixels(static_cast<std::size_t>(grid.size()));
  for (std::int64_t p = 0; p < stack.pixels(); ++p) {
    if (measured[static_cast<std::size_t>(p)] == 0) continue;
    block.push_back(p / stack.width / grid.factor * grid.width + p % stack.width / grid.factor);
    pixels[static_cast<std::size_t>(block.back())] += 1.0;
  }
  Doubles2 means(stack.n, grid.size());
  parallel_for(
      stack.n, 1, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<float> scratch;
        std::vector<double> scaled;
        for (std::int64_t i = begin; i < end; ++i) {
          scaled_image(stack, i, measured, scratch, scaled);
          double* out = means.row(i);
          for (std::size_t k = 0; k < scaled.size(); ++k) out[block[k]] += std::sqrt(scaled[k]);
          for (std::int64_t b = 0; b < grid.size(); ++b) out[b] /= std::max(1.0, pixels[static_cast<std::size_t>(b)]);
        }
      },
      cancel);
  return means;
}

Structure structure(const double* image, const BlockGrid& grid, const Flags& inside) {
  const std::int64_t size = grid.size();
  double sum = 0.0;
  std::int64_t n = 0;
  for (std::int64_t p = 0; p < size; ++p) {
    if (inside[static_cast<std::size_t>(p)] == 0) continue;
    sum += image[p];
    ++n;
  }
  const double mean = sum / static_cast<double>(std::max<std::int64_t>(1, n));
  double products = 0.0;
  double squares = 0.0;
  std::int64_t links = 0;
  for (std::int64_t y = 0; y < grid.height; ++y) {
    for (std::int64_t x = 0; x < grid.width; ++x) {
      const std::int64_t p = y * grid.width + x;
      if (inside[static_cast<std::size_t>(p)] == 0) continue;
      const double d = image[p] - mean;
      squares += d * d;
      if (x + 1 < grid.width && inside[static_cast<std::size_t>(p + 1)] != 0) {
        products += d * (image[p + 1] - mean);
        ++links;
      }
      if (y + 1 < grid.height && inside[static_cast<std::size_t>(p + grid.width)] != 0) {
        products += d * (image[p + grid.width] - mean);
        ++links;
      }
    }
  }
  return {products / static_cast<double>(std::max<std::int64_t>(1, links)),
          squares / static_cast<double>(std::max<std::int64_t>(1, n))};
}

Smoother::Smoother(const BlockGrid& grid, double sigma) : grid_(&grid) {
  const auto radius = static_cast<std::int64_t>(std::ceil(3.0 * sigma));
  for (std::int64_t d = -radius; d <= radius; ++d) {
    kernel_.push_back(std::exp(-static_cast<double>(d * d) / (2.0 * sigma * sigma)));
  }
  blur(std::vector<double>(grid.there.begin(), grid.there.end()), norm_);
}

void Smoother::blur(const std::vector<double>& image, std::vector<double>& out) const {
  const std::int64_t height = grid_->height;
  const std::int64_t width = grid_->width;
  const auto radius = static_cast<std::int64_t>(kernel_.size() / 2);
  std::vector<double> rows(image.size());
  for (std::int64_t k = -radius; k <= radius; ++k) {
    const double weight = kernel_[static_cast<std::size_t>(k + radius)];
    const std::int64_t first = std::max<std::int64_t>(0, -k);
    const std::int64_t last = std::min(height, height - k);
    for (std::int64_t p = first * width; p < last * width; ++p) {
      rows[static_cast<std::size_t>(p)] += weight * image[static_cast<std::size_t>(p + k * width)];
    }
  }
  out.assign(image.size(), 0.0);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t k = -radius; k <= radius; ++k) {
      const double weight = kernel_[static_cast<std::size_t>(k + radius)];
      const std::int64_t first = std::max<std::int64_t>(0, -k);
      const std::int64_t last = std::min(width, width - k);
      for (std::int64_t p = y * width + first; p < y * width + last; ++p) {
        out[static_cast<std::size_t>(p)] += weight * rows[static_cast<std::size_t>(p + k)];
      }
    }
  }
}

void Smoother::operator()(const double* image, double* out) const {
  std::vector<double> values(image, image + grid_->size());
  std::vector<double> blurred;
  blur(values, blurred);  // blocks that are not there are 0
  for (std::size_t p = 0; p < blurred.size(); ++p) {
    out[p] = grid_->there[p] != 0 ? blurred[p] / std::max(norm_[p], 1e-12) : 0.0;
  }
}

}  // namespace imn::preprocess
