#include "preprocess/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/error.h"
#include "core/multiversion.h"
#include "core/parallel_for.h"
#include "preprocess/clean_row.h"
#include "preprocess/element_type.h"
#include "preprocess/image_divisor.h"
#include "preprocess/quantile.h"

namespace imn::preprocess {
namespace {

constexpr float kUnknownSample = 0.5F;

IMN_MULTIVERSION void normalised_line(const PixelSource& source, std::int64_t begin, std::int64_t width, float by,
                                      float* __restrict line) {
  clean_row(source, begin, width, line);
  for (std::int64_t i = 0; i < width; ++i) line[i] = normalise(line[i], by);
}

IMN_MULTIVERSION void take_roots(std::int64_t n, float* line) {
  for (std::int64_t i = 0; i < n; ++i) line[i] = std::sqrt(line[i]);
}

void measured_line(const PixelSource& source, std::int64_t begin, std::int64_t width, float* __restrict line) {
  for (std::int64_t i = 0; i < width; ++i) line[i] = is_measured(source, begin + i) ? 1.0F : 0.0F;
}

std::int64_t count_measured(const PixelSource& source, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += is_measured(source, i) ? 1 : 0;
  return count;
}

const ImageStack& checked(const ImageStack& stack) {
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  return stack;
}

}  // namespace

ElementType parse_element_type(const std::string& name) {
  if (name == "f32") return ElementType::f32;
  if (name == "bf16") return ElementType::bf16;
  if (name == "f16") return ElementType::f16;
  throw ArgumentError("unknown element type '" + name + "'; known: f32, bf16, f16");
}

std::vector<float> sample_plane(const float* map, const Resizer& resizer) {
  std::vector<float> plane(static_cast<std::size_t>(resizer.plane()), kUnknownSample);
  if (map == nullptr) return plane;
  const std::int64_t width = resizer.width();
  ResizeScratch scratch;
  resizer.run([&](std::int32_t row, float* line) { std::copy_n(map + row * width, width, line); }, scratch,
              plane.data());
  return plane;
}

Preprocessor::Preprocessor(const ImageStack& shape, const PreprocessId& id)
    : id_(id), resizer_(checked(shape).height, shape.width, id), in_mask_(shape.pixels()) {
  if (id_.sample) sample_ = sample_plane(shape.sample, resizer_);
  if (!id_.mask) return;
  if (shape.mask != nullptr) {
    in_mask_ = std::count_if(shape.mask, shape.mask + shape.pixels(), [](std::uint8_t m) { return m != 0; });
  }
  const auto marked = [&](std::int32_t row, float* line) {
    const std::uint8_t* mask = shape.mask == nullptr ? nullptr : shape.mask + std::int64_t{row} * shape.width;
    for (std::int32_t i = 0; i < shape.width; ++i) line[i] = mask == nullptr || mask[i] != 0 ? 1.0F : 0.0F;
  };
  ResizeScratch scratch;
  mask_.resize(static_cast<std::size_t>(id_.plane()));
  resizer_.run(marked, scratch, mask_.data());
}

void Preprocessor::prepare(const ImageStack& images, std::int64_t image, Scratch& scratch, float* out) const {
  const std::int64_t n = images.pixels();
  const std::int64_t plane = id_.plane();
  if (id_.sample) std::copy(sample_.begin(), sample_.end(), out + id_.sample_channel() * plane);
  const PixelSource source = quantile_source(images, image, id_.mask);
  const std::int64_t counted = id_.mask ? count_measured(source, n) : n;
  if (counted == 0) {
    std::fill_n(out, (id_.channels() - (id_.sample ? 1 : 0)) * plane, 0.0F);
    return;
  }
  const float by = image_divisor(source, n, counted, scratch.top);
  const std::int64_t width = images.width;
  resizer_.run([&](std::int32_t row, float* line) { normalised_line(source, row * width, width, by, line); },
               scratch.resize, out);
  if (id_.mask && counted == in_mask_) {
    std::copy(mask_.begin(), mask_.end(), out + plane);
  } else if (id_.mask) {
    resizer_.run([&](std::int32_t row, float* line) { measured_line(source, row * width, width, line); },
                 scratch.resize, out + plane);
  }
  if (id_.sqrt) {
    const auto roots = [&](std::int32_t row, float* line) {
      normalised_line(source, row * width, width, by, line);
      take_roots(width, line);
    };
    resizer_.run(roots, scratch.resize, out + id_.sqrt_channel() * plane);
  }
}

void Preprocessor::run(const ImageStack& images, int threads, float* out) {
  if (images.n <= 0) return;
  const int workers = thread_count(threads);
  const auto busy = static_cast<std::size_t>(std::min<std::int64_t>(workers, images.n));
  if (scratch_.size() < busy) scratch_.resize(busy);
  // Grains of a few images: small enough to balance the load, large enough that their overhead is negligible.
  const std::int64_t grain = std::clamp<std::int64_t>(images.n / (4 * std::int64_t{workers}), 1, 16);
  parallel_for(images.n, grain, workers, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      prepare(images, i, scratch_[static_cast<std::size_t>(worker)], out + i * id_.values());
    }
  });
}

void preprocess(const ImageStack& stack, const PreprocessId& id, int threads, float* out) {
  if (stack.n > 0) Preprocessor(stack, id).run(stack, threads, out);
}

}  // namespace imn::preprocess
