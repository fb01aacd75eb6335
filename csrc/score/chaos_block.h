// The kernel of the measure of spatial chaos: one thread block counts the objects of one image. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"
#include "preprocess/quantile.h"
#include "score/chaos_level.h"
#include "score/statistics_cuda.h"

namespace imn::score {

// Note [objects on a device]: the objects of all levels are counted as score/chaos.h says: the sum of the pixels of the
// closed image less the weight of a maximum spanning forest. Every pixel first hangs on one neighbour that is at least
// as high (equal ones only to the left and above, so that no circle closes); those edges belong to a forest of greatest
// weight. The edges left between trees are joined level by level from the highest, all of a level at once. Which edge
// of a level joins two trees depends on the order of the threads; how many do, does not: that is the number of trees
// before less that after. So the count is exact and the same on every run.
//
// Within a phase threads then do read what others write, by load(), store() and compare_and_swap(): a label is always
// some ancestor in the same tree, whichever value is seen.
struct ChaosMemory {  // shared; the planes follow where they fit
  std::int64_t sum_scratch[cuda::kScratch];
  std::int32_t scratch[cuda::kScratch];
  std::int32_t first[kChaosLevels + 1];  // of the edges of a weight in the list
  std::int32_t next[kChaosLevels];
};
inline constexpr std::size_t kChaosMemoryBytes = (sizeof(ChaosMemory) + 15) / 16 * 16;

// A border of one pixel on each side, never measured.
struct ChaosPlane {
  int height, width;

  IMN_HOST_DEVICE int stride() const { return width + 2; }
  IMN_HOST_DEVICE int cells() const { return (height + 2) * stride(); }
  IMN_HOST_DEVICE std::size_t level_bytes() const { return (static_cast<std::size_t>(cells()) + 15) / 16 * 16; }
};

template <typename Label>
struct ChaosPlanes {
  std::uint8_t* levels;
  Label* labels;         // first the dilated levels, as bytes
  std::uint32_t* edges;  // cell * 2 + (0: to the right, 1: downwards)
};

inline constexpr int kNotInside = 0x80;  // level of what is not measured: 0, and a mark

// The closed image of levels, in planes.levels; 0 where not measured.
template <typename Block, typename Label>
IMN_DEVICE_CODE void close_levels(Block& block, const preprocess::GlobalImage& pixels, float by,
                                  const ChaosPlane& plane, const ChaosPlanes<Label>& planes) {
  constexpr std::uint8_t kPassedOver = 255;
  const int stride = plane.stride();
  const int cells = plane.cells();
  std::uint8_t* levels = planes.levels;
  auto* dilated = reinterpret_cast<std::uint8_t*>(planes.labels);
  block.for_each(cells, [&](int i) {
    const int row = i / stride;
    const int column = i - row * stride;
    const bool inside = row > 0 && row <= plane.height && column > 0 && column <= plane.width;
    const float pixel = inside ? pixels.at((row - 1) * plane.width + column - 1) : preprocess::kNotMeasured;
    levels[i] = static_cast<std::uint8_t>(pixel == pixel ? chaos_level(preprocess::normalise(pixel, by)) : kNotInside);
  });
  block.for_each(cells, [&](int i) {
    std::uint8_t highest = kPassedOver;
    if (levels[i] != kNotInside) {
      const auto level = [&](int at) { return levels[at] & (kNotInside - 1); };
      int most = level(i);
      most = cuda::greater<int>(most, cuda::greater<int>(level(i - 1), level(i + 1)));
      most = cuda::greater<int>(most, cuda::greater<int>(level(i - stride), level(i + stride)));
      highest = static_cast<std::uint8_t>(most);
    }
    dilated[i] = highest;
  });
  block.for_each(cells, [&](int i) {
    int lowest = 0;
    if (dilated[i] != kPassedOver) {
      lowest = kPassedOver;
      for (int row = i - stride; row <= i + stride; row += stride) {
        for (int at = row - 1; at <= row + 1; ++at) lowest = cuda::lesser<int>(lowest, dilated[at]);
      }
    }
    levels[i] = static_cast<std::uint8_t>(lowest);
  });
}

// The end of the way from a label upwards; shortens it for those who come after.
template <typename Block, typename Label>
IMN_DEVICE_CODE Label find_root(Block& block, Label* labels, Label at) {
  Label up = block.load(&labels[at]);
  while (up != at) {
    const Label further = block.load(&labels[up]);
    if (further != up) block.store(&labels[at], further);
    at = up;
    up = further;
  }
  return at;
}

// 1 where two trees became one.
template <typename Block, typename Label>
IMN_DEVICE_CODE int join_trees(Block& block, Label* labels, Label a, Label b) {
  while (true) {
    a = find_root(block, labels, a);
    b = find_root(block, labels, b);
    if (a == b) return 0;
    const Label high = a > b ? a : b;
    const Label low = a > b ? b : a;
    const Label found = block.compare_and_swap(&labels[high], high, low);
    if (found == high) return 1;
    a = found;  // no root any more
    b = low;
  }
}

// Hangs every pixel on a neighbour that is at least as high; returns the sum of those that hang nowhere. Then every
// label is the root of its tree.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t hang_pixels(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                         ChaosMemory& memory) {
  const std::uint8_t* v = planes.levels;
  Label* labels = planes.labels;
  const int stride = plane.stride();
  const std::int64_t sum = block.sum(
      plane.cells(),
      [&](int i) {
        const int here = v[i];
        int to = i;
        if (here > 0) {
          to = v[i - 1] >= here        ? i - 1
               : v[i - stride] >= here ? i - stride
               : v[i + 1] > here       ? i + 1
               : v[i + stride] > here  ? i + stride
                                       : i;
        }
        labels[i] = static_cast<Label>(to);
        return static_cast<std::int64_t>(to == i ? here : 0);
      },
      memory.sum_scratch);
  int moved = 1;
  while (moved > 0) {
    moved = block.sum(
        plane.cells(),
        [&](int i) {
          const Label up = block.load(&labels[i]);
          const Label further = block.load(&labels[up]);
          if (further == up) return 0;
          block.store(&labels[i], further);
          return 1;
        },
        memory.scratch);
  }
  return sum;
}

// Calls take(edge, weight) for every edge between two trees.
template <typename Block, typename Label, typename Take>
IMN_DEVICE_CODE void for_each_edge(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                   Take&& take) {
  const std::uint8_t* v = planes.levels;
  const Label* labels = planes.labels;
  block.for_each(plane.cells() - plane.stride(), [&](int i) {
    if (v[i] == 0) return;
    for (int k = 0; k < 2; ++k) {
      const int to = k == 0 ? i + 1 : i + plane.stride();
      const int weight = cuda::lesser<int>(v[i], v[to]);
      if (weight > 0 && labels[i] != labels[to]) {
        take(static_cast<std::uint32_t>(i) * 2U + static_cast<std::uint32_t>(k), weight);
      }
    }
  });
}

template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t count_objects(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                           ChaosMemory& memory) {
  std::int64_t objects = hang_pixels(block, plane, planes, memory);
  block.for_each(kChaosLevels, [&](int w) { memory.first[w] = 0; });
  for_each_edge(block, plane, planes,
                [&](std::uint32_t, int weight) { block.add(&memory.first[weight], std::int32_t{1}); });
  const std::int32_t edges = block.exclusive_scan(memory.first, kChaosLevels, memory.scratch);
  block.for_each(kChaosLevels, [&](int w) { memory.next[w] = memory.first[w]; });
  block.once([&] { memory.first[kChaosLevels] = edges; });
  for_each_edge(block, plane, planes, [&](std::uint32_t edge, int weight) {
    planes.edges[block.add(&memory.next[weight], std::int32_t{1})] = edge;
  });
  for (int weight = kChaosLevels - 1; weight > 0; --weight) {
    const int begin = memory.first[weight];
    const int n = memory.first[weight + 1] - begin;
    if (n == 0) continue;
    const int joined = block.sum(
        n,
        [&](int i) {
          const std::uint32_t edge = planes.edges[begin + i];
          const int a = static_cast<int>(edge / 2U);
          const int b = edge % 2U == 0 ? a + 1 : a + plane.stride();
          return join_trees(block, planes.labels, static_cast<Label>(a), static_cast<Label>(b));
        },
        memory.scratch);
    objects -= std::int64_t{weight} * joined;
  }
  return objects;
}

// Block = worker: takes every grid_x-th image. objects: one count an image, written but for blank ones.
template <typename Label, typename Block>
IMN_DEVICE_CODE void chaos_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                 const ChaosPlanes<Label>& planes, std::int64_t* objects, ChaosMemory& memory) {
  const ChaosPlane plane{images.height, images.width};
  for (std::int64_t image = block.x(); image < images.n; image += block.grid_x()) {
    const preprocess::ImageFacts& fact = facts[image];
    if (fact.blank != 0) continue;
    const preprocess::GlobalImage pixels(images.image(image), images.mask, plane.height * plane.width);
    close_levels(block, pixels, fact.divisor, plane, planes);
    const std::int64_t count = count_objects(block, plane, planes, memory);
    block.once([&] { objects[image] = count; });
  }
}

}  // namespace imn::score
