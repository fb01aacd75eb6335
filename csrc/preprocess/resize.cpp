#include "preprocess/resize.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/multiversion.h"

namespace imn::preprocess {
namespace {

std::vector<Tap> axis_taps(std::int32_t source, std::int32_t size) {
  std::vector<Tap> taps;
  for (std::int32_t i = 0; i < size; ++i) taps.push_back(bilinear_tap(i, source, size));
  return taps;
}

void resize_line(const float* line, const std::vector<Tap>& taps, float* out) {
  for (const Tap& tap : taps) *out++ = line[tap.first] * (1.0F - tap.weight) + line[tap.second] * tap.weight;
}

IMN_MULTIVERSION void blend(const float* __restrict top, const float* __restrict bottom, float weight, std::int32_t n,
                            float* __restrict out) {
  const float rest = 1.0F - weight;
  for (std::int32_t i = 0; i < n; ++i) out[i] = top[i] * rest + bottom[i] * weight;
}

IMN_MULTIVERSION void scale_line(const float* __restrict line, float weight, std::int32_t n, float* __restrict sum) {
  for (std::int32_t i = 0; i < n; ++i) sum[i] = line[i] * weight;
}

IMN_MULTIVERSION void add_line(const float* __restrict line, float weight, std::int32_t n, float* __restrict sum) {
  for (std::int32_t i = 0; i < n; ++i) sum[i] += line[i] * weight;
}

// One output row of an AreaAxis. Rounding may exceed 1 by a unit in the last place.
IMN_MULTIVERSION void shrink_line(const float* __restrict line, const std::int32_t* __restrict first,
                                  const float* __restrict weights, std::int32_t taps, std::int32_t size,
                                  float* __restrict out) {
  for (std::int32_t i = 0; i < size; ++i) out[i] = line[first[i]] * weights[i];
  for (std::int32_t k = 1; k < taps; ++k) {
    weights += size;
    for (std::int32_t i = 0; i < size; ++i) out[i] += line[first[i] + k] * weights[i];
  }
  for (std::int32_t i = 0; i < size; ++i) out[i] = out[i] > 1.0F ? 1.0F : out[i];
}

}  // namespace

AreaAxis area_axis(std::int32_t source, std::int32_t size) {
  std::vector<std::vector<float>> weights;  // of each output
  AreaAxis axis;
  for (std::int32_t i = 0; i < size; ++i) {
    std::vector<float>& own = weights.emplace_back();
    const AreaSpan span = area_span(i, source, size);
    axis.first.push_back(span.first);
    for (std::int32_t k = 0; k < span.n; ++k) own.push_back(area_weight(span, k));
    axis.taps = std::max(axis.taps, span.n);
  }
  axis.weights.assign(static_cast<std::size_t>(axis.taps) * static_cast<std::size_t>(size), 0.0F);
  for (std::int32_t i = 0; i < size; ++i) {
    std::int32_t& first = axis.first[static_cast<std::size_t>(i)];
    const std::int32_t shift = first - std::min(first, source - axis.taps);
    first -= shift;
    std::int32_t k = shift;
    for (const float weight : weights[static_cast<std::size_t>(i)]) {
      axis.weights[static_cast<std::size_t>(k++) * static_cast<std::size_t>(size) + static_cast<std::size_t>(i)] =
          weight;
    }
  }
  return axis;
}

Resizer::Resizer(std::int32_t height, std::int32_t width, const PreprocessId& id) : width_(width), size_(id.size) {
  if (shrinks(height, width, id)) {
    x_ = area_axis(width, size_);
    y_ = area_axis(height, size_);
  } else {
    x_taps_ = axis_taps(width, size_);
    y_taps_ = axis_taps(height, size_);
  }
}

void Resizer::run(const FillLine& fill, ResizeScratch& scratch, float* out) const {
  scratch.line.resize(static_cast<std::size_t>(width_));
  if (x_taps_.empty()) {
    area(fill, scratch, out);
  } else {
    stretch(fill, scratch, out);
  }
}

// Rows are resized along x first. Only consecutive output rows need a source row, so the last two are kept and each is
// filled once.
void Resizer::stretch(const FillLine& fill, ResizeScratch& scratch, float* out) const {
  const auto size = static_cast<std::size_t>(size_);
  scratch.rows.resize(2 * size);
  std::array<std::int32_t, 2> held{-1, -1};
  const auto fetch = [&](std::int32_t row, std::int32_t keep) -> const float* {
    const std::size_t slot = held[0] == row ? 0 : held[1] == row ? 1 : held[0] == keep ? 1 : 0;
    float* resized = scratch.rows.data() + slot * size;
    if (held[slot] == row) return resized;
    fill(row, scratch.line.data());
    resize_line(scratch.line.data(), x_taps_, resized);
    held[slot] = row;
    return resized;
  };
  for (const Tap& tap : y_taps_) {
    const float* top = fetch(tap.first, tap.second);
    const float* bottom = fetch(tap.second, tap.first);
    blend(top, bottom, tap.weight, size_, out);
    out += size_;
  }
}

// Rows are combined along y first: that is fast, and leaves fewer rows to resize along x. Those that an output row
// needs are kept in a ring.
void Resizer::area(const FillLine& fill, ResizeScratch& scratch, float* out) const {
  const auto width = static_cast<std::size_t>(width_);
  scratch.rows.resize(static_cast<std::size_t>(y_.taps) * width);
  const auto row_at = [&](std::int32_t row) {
    return scratch.rows.data() + static_cast<std::size_t>(row % y_.taps) * width;
  };
  float* sum = scratch.line.data();
  std::int32_t filled = 0;
  for (std::size_t y = 0; y < y_.first.size(); ++y, out += size_) {
    const std::int32_t first = y_.first[y];
    for (filled = std::max(filled, first); filled < first + y_.taps; ++filled) fill(filled, row_at(filled));
    scale_line(row_at(first), y_.weights[y], width_, sum);
    for (std::int32_t k = 1; k < y_.taps; ++k) {
      const float weight = y_.weights[static_cast<std::size_t>(k) * y_.first.size() + y];
      if (weight != 0.0F) add_line(row_at(first + k), weight, width_, sum);
    }
    shrink_line(sum, x_.first.data(), x_.weights.data(), x_.taps, size_, out);
  }
}

}  // namespace imn::preprocess
