#include "score/chaos.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/multiversion.h"
#include "score/chaos_level.h"

namespace imn::score {
namespace {

using Byte = std::uint8_t;

IMN_MULTIVERSION void quantise(const float* __restrict values, std::int64_t n, Byte* __restrict levels) {
  for (std::int64_t i = 0; i < n; ++i) levels[i] = static_cast<Byte>(chaos_level(values[i]));
}

// Maximum over the cross; 255 where not measured, which the erosion ignores.
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

// For each pixel of one row: left is -1 if its left neighbour is at least as high, else 0; upper is the label of the
// pixel above if that is at least as high, else the pixel's own index; is_end is 1 if neither neighbour is.
IMN_MULTIVERSION void look_up(const Byte* __restrict v, std::int32_t begin, std::int32_t end, std::int32_t stride,
                              const std::int32_t* __restrict label, std::int32_t* __restrict left,
                              std::int32_t* __restrict upper, Byte* __restrict is_end) {
  for (std::int32_t i = begin; i < end; ++i) {
    const std::int32_t above = label[i - stride];
    upper[i - begin] = v[i - stride] >= v[i] ? above : i;
    left[i - begin] = v[i - 1] >= v[i] ? -1 : 0;
  }
  for (std::int32_t i = begin; i < end; ++i) is_end[i] = std::max(v[i - stride], v[i - 1]) < v[i] ? 1 : 0;
}

// Sets marks[i] = 1 where the edge from i to i + step can be in the forest: it joins two different labels, and the
// preceding edge, `along` pixels away, does not join the same two labels with at least this weight.
IMN_MULTIVERSION void mark_edges(const Byte* __restrict v, const std::int32_t* __restrict label, std::int32_t begin,
                                 std::int32_t end, std::int32_t step, std::int32_t along, Byte* __restrict marks) {
  for (std::int32_t i = begin; i < end; ++i) {
    const int apart = label[i] != label[i + step] ? 1 : 0;
    const int known = (label[i] == label[i - along] ? 1 : 0) & (label[i + step] == label[i + step - along] ? 1 : 0);
    marks[i] = static_cast<Byte>(apart | (known << 1));
  }
  for (std::int32_t i = begin; i < end; ++i) {
    const Byte weight = std::min(v[i], v[i + step]);
    const Byte before = std::min(v[i - along], v[i + step - along]);
    const bool useful = weight > before || marks[i] == 1;
    marks[i] = weight != 0 && (marks[i] & 1) != 0 && useful ? 1 : 0;
  }
}

// Calls take(i) for every i in [begin, end) with marks[i] != 0. Tests eight marks at a time.
template <typename Take>
void for_each_mark(const Byte* marks, std::int32_t begin, std::int32_t end, const Take& take) {
  std::int32_t i = begin;
  for (; i + 8 <= end; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, marks + i, 8);
    if (eight == 0) continue;
    for (std::int32_t k = i; k < i + 8; ++k) {
      if (marks[k] != 0) take(k);
    }
  }
  for (; i < end; ++i) {
    if (marks[i] != 0) take(i);
  }
}

}  // namespace

void SpatialChaos::close_levels(const NormalisedImage& image) {
  if (image.pixels() + 2 * (std::int64_t{image.height} + image.width + 2) > std::numeric_limits<std::int32_t>::max()) {
    throw ArgumentError("spatial chaos cannot be computed for images of more than 2^31 pixels");
  }
  const auto n = static_cast<std::size_t>((image.height + 2) * (image.width + 2));
  if (rows_ != image.height + 2 || stride_ != image.width + 2) {
    rows_ = image.height + 2;
    stride_ = image.width + 2;
    levels_.assign(n, 0);
    measured_.assign(n, 0);
    dilated_.assign(n, 255);
    closed_.assign(n, 0);
    label_.assign(n, 0);
    parent_.assign(n, 0);
    left_.resize(static_cast<std::size_t>(stride_));
    upper_.resize(static_cast<std::size_t>(stride_));
    marks_.assign(n, 0);
  }
  for (std::int32_t y = 0; y < image.height; ++y) {
    const std::int64_t from = std::int64_t{y} * image.width;
    const std::int64_t to = std::int64_t{y + 1} * stride_ + 1;
    quantise(image.values.data() + from, image.width, levels_.data() + to);
    std::copy_n(image.measured.data() + from, image.width, measured_.data() + to);
  }
  // The border between two rows is marked as not measured, so both passes can run across it.
  const std::int64_t first = stride_ + 1;
  const std::int64_t count = std::int64_t{rows_ - 2} * stride_ - 2;
  dilate(levels_.data() + first, measured_.data() + first, stride_, count, dilated_.data() + first);
  erode(dilated_.data() + first, measured_.data() + first, stride_, count, closed_.data() + first);
}

std::int32_t SpatialChaos::root(std::int32_t label) {
  std::int32_t* parent = parent_.data();
  while (parent[label] != label) {
    parent[label] = parent[parent[label]];
    label = parent[label];
  }
  return label;
}

// Attaches every pixel to a neighbour that is at least as high. One pass over the image uses the left or upper
// neighbour, so label_ becomes the pixel where that path ends; the end is then attached to its right or lower neighbour
// if that is higher. Returns the sum of the regional maxima, which are attached to nothing. The inner loops select
// without branches, because the choices are unpredictable.
std::int64_t SpatialChaos::hang_pixels() {
  const Byte* v = closed_.data();
  std::int32_t* label = label_.data();
  Byte* is_end = marks_.data();
  for (std::int32_t y = 1; y < rows_ - 1; ++y) {
    const std::int32_t begin = y * stride_ + 1;
    const std::int32_t end = begin + stride_ - 2;
    look_up(v, begin, end, stride_, label, left_.data(), upper_.data(), is_end);
    std::int32_t current = 0;
    for (std::int32_t i = 0; i < end - begin; ++i) {
      const auto at = static_cast<std::size_t>(i);
      current = (current & left_[at]) | (upper_[at] & ~left_[at]);
      label[begin + i] = current;
    }
  }
  std::int64_t sum = 0;
  for_each_mark(is_end, stride_ + 1, (rows_ - 1) * stride_ - 1, [&](std::int32_t i) {
    const bool right = v[i + 1] > v[i];
    const bool down = v[i + stride_] > v[i];
    parent_[static_cast<std::size_t>(i)] = right ? label[i + 1] : (down ? label[i + stride_] : i);
    sum += right || down ? 0 : v[i];
  });
  return sum;
}

// Stores in edges_, sorted by weight, the edges that can be in the forest: those between different labels. Of
// consecutive edges between the same two labels, only those heavier than the preceding one are kept.
void SpatialChaos::sort_edges() {
  const Byte* v = closed_.data();
  const std::int32_t* label = label_.data();
  const std::int32_t first = stride_ + 1;
  const std::int32_t last = (rows_ - 1) * stride_ - 1;
  std::array<std::size_t, kChaosLevels + 1> begin{};
  found_.clear();
  for (const auto& [step, along] : {std::pair{1, stride_}, std::pair{stride_, 1}}) {
    mark_edges(v, label, first, last, step, along, marks_.data());
    for_each_mark(marks_.data(), first, last, [&, to = step](std::int32_t i) {
      found_.push_back({label[i], label[i + to], std::min(v[i], v[i + to])});
    });
  }
  for (const Edge& edge : found_) ++begin[static_cast<std::size_t>(edge.weight) + 1];
  for (std::size_t w = 1; w < begin.size(); ++w) begin[w] += begin[w - 1];
  edges_.resize(found_.size());
  for (const Edge& edge : found_) edges_[begin[static_cast<std::size_t>(edge.weight)]++] = edge;
}

std::int64_t SpatialChaos::count_objects() {
  std::int64_t objects = hang_pixels();
  sort_edges();
  for (std::size_t k = edges_.size(); k-- > 0;) {
    const std::int32_t a = root(edges_[k].a);
    const std::int32_t b = root(edges_[k].b);
    if (a == b) continue;
    parent_[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
    objects -= edges_[k].weight;
  }
  return objects;
}

float SpatialChaos::operator()(const NormalisedImage& image) {
  close_levels(image);
  return chaos_measure(count_objects(), image.n_positive);
}

}  // namespace imn::score
