#include "score/chaos.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/multiversion.h"

namespace imn::score {
namespace {

using Byte = std::uint8_t;

// How many of the levels 0, 1/29, ..., 1 a value is above: ceil(29 x), without the library call.
IMN_MULTIVERSION void quantise(const float* __restrict values, std::int64_t n, Byte* __restrict levels) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float scaled = values[i] * static_cast<float>(SpatialChaos::kLevels - 1);
    const auto whole = static_cast<std::int32_t>(scaled);
    levels[i] = static_cast<Byte>(whole + (static_cast<float>(whole) < scaled ? 1 : 0));
  }
}

// Maximum over the cross; 255 where not measured, so that the erosion passes over it.
IMN_MULTIVERSION void dilate(const Byte* __restrict in, const Byte* __restrict measured, std::int64_t stride,
                             std::int64_t n, Byte* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const Byte* x = in + i;
    const Byte sides = std::max(x[-1], x[1]);
    const Byte ends = std::max(x[-stride], x[stride]);
    const Byte highest = std::max(x[0], std::max(sides, ends));
    out[i] = measured[i] != 0 ? highest : Byte{255};
  }
}

// Minimum over the square; 0 where not measured.
IMN_MULTIVERSION void erode(const Byte* __restrict in, const Byte* __restrict measured, std::int64_t stride,
                            std::int64_t n, Byte* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const Byte* x = in + i;
    const Byte above = std::min(x[-stride], std::min(x[-stride - 1], x[-stride + 1]));
    const Byte here = std::min(x[0], std::min(x[-1], x[1]));
    const Byte below = std::min(x[stride], std::min(x[stride - 1], x[stride + 1]));
    out[i] = measured[i] != 0 ? std::min(here, std::min(above, below)) : Byte{0};
  }
}

// For each pixel a neighbour that is at least as high, itself at a regional maximum and at 0. Of equally high pixels
// only earlier ones are taken, so no circle can arise.
IMN_MULTIVERSION void point_upwards(const Byte* __restrict closed, std::int32_t begin, std::int32_t end,
                                    std::int32_t stride, std::int32_t* __restrict parent) {
  for (std::int32_t i = begin; i < end; ++i) {
    const Byte* x = closed + i;
    std::int32_t up = i;
    up = x[stride] > x[0] ? i + stride : up;
    up = x[1] > x[0] ? i + 1 : up;
    up = x[-stride] >= x[0] ? i - stride : up;
    up = x[-1] >= x[0] ? i - 1 : up;
    parent[i] = x[0] != 0 ? up : i;
  }
}

}  // namespace

void SpatialChaos::close_levels(const NormalisedImage& image) {
  if (image.pixels() + 2 * (std::int64_t{image.height} + image.width + 2) > std::numeric_limits<std::int32_t>::max()) {
    throw ArgumentError("images of more than 2^31 pixels have no measure of spatial chaos");
  }
  const auto n = static_cast<std::size_t>((image.height + 2) * (image.width + 2));
  if (rows_ != image.height + 2 || stride_ != image.width + 2) {
    rows_ = image.height + 2;
    stride_ = image.width + 2;
    levels_.assign(n, 0);
    measured_.assign(n, 0);
    dilated_.assign(n, 255);
    closed_.assign(n, 0);
    parent_.assign(n, 0);
  }
  for (std::int32_t y = 0; y < image.height; ++y) {
    const std::int64_t from = std::int64_t{y} * image.width;
    const std::int64_t to = std::int64_t{y + 1} * stride_ + 1;
    quantise(image.values.data() + from, image.width, levels_.data() + to);
    std::copy_n(image.measured.data() + from, image.width, measured_.data() + to);
  }
  // The border between two rows is not measured, so both passes may run over it.
  const std::int64_t first = stride_ + 1;
  const std::int64_t count = std::int64_t{rows_ - 2} * stride_ - 2;
  dilate(levels_.data() + first, measured_.data() + first, stride_, count, dilated_.data() + first);
  erode(dilated_.data() + first, measured_.data() + first, stride_, count, closed_.data() + first);
}

std::int32_t SpatialChaos::root(std::int32_t at) {
  std::int32_t top = at;
  while (parent_[static_cast<std::size_t>(top)] != top) top = parent_[static_cast<std::size_t>(top)];
  while (at != top) at = std::exchange(parent_[static_cast<std::size_t>(at)], top);
  return top;
}

// Makes every pixel's parent the regional maximum that it hangs on; returns the sum of those maxima.
std::int64_t SpatialChaos::climb() {
  const std::int32_t first = stride_ + 1;
  const std::int32_t last = (rows_ - 1) * stride_ - 1;
  point_upwards(closed_.data(), first, last, stride_, parent_.data());
  std::int64_t sum = 0;
  for (std::int32_t i = first; i < last; ++i) {
    if (root(i) == i) sum += closed_[static_cast<std::size_t>(i)];
  }
  return sum;
}

void SpatialChaos::collect_edges() {
  for (auto& edges : edges_) edges.clear();
  const std::int32_t last = (rows_ - 1) * stride_ - 1;
  const Byte* v = closed_.data();
  const std::int32_t* parent = parent_.data();
  for (std::int32_t i = stride_ + 1; i < last; ++i) {
    if (v[i] == 0) continue;
    for (const std::int32_t other : {i + 1, i + stride_}) {
      if (v[other] == 0 || parent[i] == parent[other]) continue;
      edges_[std::min(v[i], v[other])].push_back({parent[i], parent[other]});
    }
  }
}

std::int64_t SpatialChaos::count_objects() {
  std::int64_t objects = climb();
  collect_edges();
  for (std::int32_t weight = kLevels - 1; weight > 0; --weight) {
    for (const Edge& edge : edges_[static_cast<std::size_t>(weight)]) {
      const std::int32_t a = root(edge.a);
      const std::int32_t b = root(edge.b);
      if (a == b) continue;
      parent_[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
      objects -= weight;
    }
  }
  return objects;
}

float SpatialChaos::operator()(const NormalisedImage& image) {
  close_levels(image);
  const std::int64_t objects = count_objects();
  if (objects == 0) return 0.0F;
  const double mean = static_cast<double>(objects) / kLevels;
  return static_cast<float>(1.0 - mean / static_cast<double>(image.n_positive));
}

}  // namespace imn::score
