// The kernel of the measure of spatial chaos: one thread block counts the objects of one image. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

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
// weight. The trees are numbered, and the edges between them put into the forest in whatever order the threads come.
//
// Of the forest a tree a knows one link, to a tree of a lower number, and its weight. Following links of at least w
// ends at the same tree for two that hang together by such links: one tree in each part has no such link, as each has
// one. An edge (a, b, w) follows them from both ends. Where it ends at one tree, it adds nothing. Else it becomes the
// link of the higher number, whose old link, if any, was lighter: that one is then put in anew, from b, which hangs
// together with a. So links and the edges still to be put in connect what all edges so far do, at every weight; and in
// the end as many links of at least w are there as any forest has. Which links they are depends on the order of the
// threads; their weights together do not. So the count is exact and the same on every run.
//
// Within a phase threads then do read what others write, by load(), store() and compare_and_swap(): what is seen once
// hangs together does so from then on. A link is read and exchanged in one piece, and never comes back: its weight
// grows, or its end gets a lower number.
struct ChaosMemory {  // shared; the planes follow where they fit
  std::int64_t sum_scratch[cuda::kScratch];
  std::int32_t trees;
};
inline constexpr std::size_t kChaosMemoryBytes = (sizeof(ChaosMemory) + 15) / 16 * 16;

// Rows of whole words of four pixels, the last of which is never measured, as a row above and one below: so every pixel
// has neighbours. A word more on both sides.
struct ChaosPlane {
  int height, width;

  IMN_HOST_DEVICE int row_words() const { return width / 4 + 1; }
  IMN_HOST_DEVICE int stride() const { return 4 * row_words(); }
  IMN_HOST_DEVICE int words() const { return (height + 2) * row_words(); }
  IMN_HOST_DEVICE int cells() const { return 4 * words(); }
  // Trees are no neighbours of each other.
  IMN_HOST_DEVICE int most_trees() const { return cells() / 2; }
  IMN_HOST_DEVICE std::size_t level_bytes() const { return (static_cast<std::size_t>(cells()) + 2 * 4 + 15) / 16 * 16; }
};

template <typename Label>
struct ChaosPlanes {
  // parent * 256 + weight
  using Link = std::conditional_t<sizeof(Label) == 2, std::uint32_t, std::uint64_t>;

  std::uint32_t* levels;  // of words; levels[-1] is there
  Label* labels;          // first the dilated levels, as words
  Link* links;            // in shared memory, for so many trees
  int n_links;
  Link* more_links;  // for those that have more
};

// Four levels at a time, below 128.
inline constexpr std::uint32_t kHighBits = 0x80808080U;
inline constexpr int kNotInside = 0x80;            // level of what is not measured: 0, and a mark
inline constexpr std::uint32_t kPassedOver = 127;  // dilated level of what is not measured

// The high bits of the levels where a >= b.
IMN_HOST_DEVICE inline std::uint32_t at_least(std::uint32_t a, std::uint32_t b) {
  return ((a | kHighBits) - b) & kHighBits;
}
// All bits of a level where its high bit is set.
IMN_HOST_DEVICE inline std::uint32_t spread(std::uint32_t high) { return high | (high - (high >> 7U)); }
IMN_HOST_DEVICE inline std::uint32_t higher(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t first = spread(at_least(a, b));
  return (a & first) | (b & ~first);
}
IMN_HOST_DEVICE inline std::uint32_t lower(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t first = spread(at_least(a, b));
  return (b & first) | (a & ~first);
}
// The neighbours to the left, the word before given, and to the right.
IMN_HOST_DEVICE inline std::uint32_t to_left(std::uint32_t before, std::uint32_t word) {
  return (word << 8U) | (before >> 24U);
}
IMN_HOST_DEVICE inline std::uint32_t to_right(std::uint32_t word, std::uint32_t after) {
  return (word >> 8U) | (after << 24U);
}
IMN_HOST_DEVICE inline int level_of(const std::uint32_t* levels, int cell) {
  return reinterpret_cast<const std::uint8_t*>(levels)[cell];
}

// The closed image of levels, in planes.levels; 0 where not measured.
template <typename Block, typename Label>
IMN_DEVICE_CODE void close_levels(Block& block, const preprocess::GlobalImage& pixels, float by,
                                  const ChaosPlane& plane, const ChaosPlanes<Label>& planes) {
  constexpr int kAhead = 3;
  const int across = plane.row_words();
  const int words = plane.words();
  std::uint32_t* levels = planes.levels;
  auto* dilated = reinterpret_cast<std::uint32_t*>(planes.labels) + 1;
  const int part = (words + 2 + kAhead - 1) / kAhead;
  block.for_each(part, [&](int i) {
    float pixel[kAhead][4];
    for (int k = 0; k < kAhead; ++k) {
      const int word = i + k * part - 1;
      const int row = word < 0 ? 0 : word / across;
      const int column = 4 * (word - row * across);
      const bool inside = row > 0 && row <= plane.height;
      for (int c = 0; c < 4; ++c) {
        pixel[k][c] = inside && column + c < plane.width ? pixels.at((row - 1) * plane.width + column + c)
                                                         : preprocess::kNotMeasured;
      }
    }
    for (int k = 0; k < kAhead; ++k) {
      std::uint32_t four = 0;
      for (int c = 0; c < 4; ++c) {
        const float x = pixel[k][c];
        const int level = x == x ? chaos_level(preprocess::normalise(x, by)) : kNotInside;
        four |= static_cast<std::uint32_t>(level) << (8 * c);
      }
      if (i + k * part < words + 2) levels[i + k * part - 1] = four;
    }
  });
  block.for_each(words + 2, [&](int i) {
    const int w = i - 1;
    std::uint32_t most = ~kHighBits;
    if (w >= across && w < words - across) {
      const std::uint32_t marked = levels[w];
      const std::uint32_t here = marked & ~kHighBits;
      const std::uint32_t sides =
          higher(to_left(levels[w - 1] & ~kHighBits, here), to_right(here, levels[w + 1] & ~kHighBits));
      const std::uint32_t ends = higher(levels[w - across] & ~kHighBits, levels[w + across] & ~kHighBits);
      most = higher(here, higher(sides, ends)) | (spread(marked & kHighBits) & ~kHighBits);
    }
    dilated[w] = most;
  });
  block.for_each(words, [&](int w) {
    std::uint32_t least = 0;
    if (w >= across && w < words - across) {
      const auto of_row = [&](int at) {
        const std::uint32_t here = dilated[at];
        return lower(here, lower(to_left(dilated[at - 1], here), to_right(here, dilated[at + 1])));
      };
      least = lower(of_row(w), lower(of_row(w - across), of_row(w + across)));
      // Levels are below 64, what is passed over is not.
      least &= ~spread((dilated[w] << 1U) & kHighBits);
    }
    levels[w] = least;
  });
  block.for_each(2, [&](int i) { levels[i == 0 ? -1 : words] = 0; });
}

// Hangs every pixel on a neighbour that is at least as high; returns the sum of those that hang nowhere. Then every
// label is the number of its tree.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t hang_pixels(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                         ChaosMemory& memory) {
  std::uint32_t* levels = planes.levels;
  Label* labels = planes.labels;
  const int across = plane.row_words();
  const int stride = plane.stride();
  const int inner = plane.words() - 2 * across;
  block.once([&] { memory.trees = 0; });
  const std::int64_t sum = block.sum(
      inner,
      [&](int i) {
        const int w = across + i;
        const std::uint32_t here = levels[w];
        const std::uint32_t some = (here + ~kHighBits) & kHighBits;
        const std::uint32_t left = at_least(to_left(levels[w - 1], here), here);
        const std::uint32_t up = at_least(levels[w - across], here);
        const std::uint32_t right = ~at_least(here, to_right(here, levels[w + 1]));
        const std::uint32_t down = ~at_least(here, levels[w + across]);
        int to = 4 * w - 1;
        int ends = 0;
        for (int k = 0; k < 4; ++k) {
          const std::uint32_t bit = 0x80U << (8 * k);
          const int at = 4 * w + k;
          const bool stays = (some & bit) == 0;
          if (stays || (left & bit) == 0) {
            to = stays                ? at
                 : (up & bit) != 0    ? at - stride
                 : (right & bit) != 0 ? at + 1
                 : (down & bit) != 0  ? at + stride
                                      : at;
            if (to == at) ends += static_cast<int>((here >> (8 * k)) & 0xFFU);
          }
          labels[at] = static_cast<Label>(to);
        }
        return static_cast<std::int64_t>(ends);
      },
      memory.sum_scratch);
  block.for_each(inner * 4, [&](int i) {
    const int at = 4 * across + i;
    Label up = block.load(&labels[at]);
    while (true) {
      const Label further = block.load(&labels[up]);
      if (further == up) break;
      block.store(&labels[at], further);  // shortens the way of those that come through here
      up = further;
    }
  });
  // Numbers the trees, and marks where they end.
  block.for_each(inner, [&](int i) {
    const int w = across + i;
    std::uint32_t marks = 0;
    for (int k = 0; k < 4; ++k) {
      const int at = 4 * w + k;
      if (labels[at] == at && level_of(levels, at) != 0) {
        labels[at] = static_cast<Label>(block.add(&memory.trees, std::int32_t{1}));
        marks |= 0x80U << (8 * k);
      }
    }
    levels[w] |= marks;
  });
  block.for_each(inner, [&](int i) {
    const int w = across + i;
    const std::uint32_t here = levels[w];
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t level = (here >> (8 * k)) & 0xFFU;
      if (level != 0 && level < 0x80U) {
        const int at = 4 * w + k;
        // Those that are marked do not change, but others might.
        labels[at] = block.load(&labels[labels[at]]);
      }
    }
  });
  block.for_each(inner, [&](int i) { levels[across + i] &= ~kHighBits; });
  return sum;
}

// Where links of at least `weight` lead; shortens the way for those who come after.
template <typename Block, typename Link>
IMN_DEVICE_CODE Link follow_links(Block& block, Link* links, Link at, Link weight) {
  while (true) {
    const Link link = block.load(&links[at]);
    if (link % 256 < weight) return at;
    const Link up = link / 256;
    const Link further = block.load(&links[up]);
    if (further % 256 < weight) return up;
    if (further % 256 >= link % 256) block.compare_and_swap(&links[at], link, further / 256 * 256 + link % 256);
    at = further / 256;
  }
}

template <typename Block, typename Link>
IMN_DEVICE_CODE void put_edge(Block& block, Link* links, Link a, Link b, Link weight) {
  while (true) {
    a = follow_links(block, links, a, weight);
    b = follow_links(block, links, b, weight);
    if (a == b) return;
    const Link from = a > b ? a : b;
    const Link to = a > b ? b : a;
    a = from;
    b = to;
    const Link old = block.load(&links[from]);
    if (old % 256 >= weight) continue;
    if (block.compare_and_swap(&links[from], old, to * 256 + weight) != old) continue;
    if (old % 256 == 0) return;
    a = old / 256;
    weight = old % 256;
  }
}

// Puts the edges between trees into the forest and returns its weight. Of a row of edges between the same two trees
// only those matter that are heavier than the one before.
template <typename Block, typename Label, typename Link>
IMN_DEVICE_CODE std::int64_t join_trees(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                        Link* links, int trees, ChaosMemory& memory) {
  const std::uint32_t* levels = planes.levels;
  const Label* labels = planes.labels;
  const int across = plane.row_words();
  const int stride = plane.stride();
  block.for_each(trees, [&](int i) { links[i] = 0; });
  block.for_each(plane.words() - 2 * across, [&](int i) {
    const int w = across + i;
    const std::uint32_t here = levels[w];
    if (here == 0) return;
    struct alignas(4 * sizeof(Label)) Four {
      Label at[4];
    };
    const auto four = [&](int word) { return *reinterpret_cast<const Four*>(labels + 4 * word); };
    const std::uint32_t above = levels[w - across];
    const std::uint32_t below = levels[w + across];
    const std::uint32_t before = to_left(levels[w - 1], here);
    const std::uint32_t right = lower(here, to_right(here, levels[w + 1]));
    const std::uint32_t down = lower(here, below);
    // Where the edge before it is no lighter.
    const std::uint32_t right_known = at_least(lower(above, to_right(above, levels[w - across + 1])), right);
    const std::uint32_t down_known = at_least(lower(before, to_left(levels[w + across - 1], below)), down);
    const std::uint32_t right_some = (right + ~kHighBits) & kHighBits;
    const std::uint32_t down_some = (down + ~kHighBits) & kHighBits;
    const Four own = four(w);
    const Four upper = four(w - across);
    const Four under = four(w + across);
    const Label own_left = labels[4 * w - 1];
    const Label own_right = labels[4 * w + 4];
    const Label upper_right = labels[4 * w + 4 - stride];
    const Label under_left = labels[4 * w - 1 + stride];
    unsigned todo = 0;
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t bit = 0x80U << (8 * k);
      const Label next = k < 3 ? own.at[k < 3 ? k + 1 : 3] : own_right;
      const Label upper_next = k < 3 ? upper.at[k < 3 ? k + 1 : 3] : upper_right;
      const Label last = k > 0 ? own.at[k > 0 ? k - 1 : 0] : own_left;
      const Label under_last = k > 0 ? under.at[k > 0 ? k - 1 : 0] : under_left;
      const bool right_same = (right_known & bit) != 0 && upper.at[k] == own.at[k] && upper_next == next;
      const bool down_same = (down_known & bit) != 0 && last == own.at[k] && under_last == under.at[k];
      if ((right_some & bit) != 0 && own.at[k] != next && !right_same) todo |= 1U << k;
      if ((down_some & bit) != 0 && own.at[k] != under.at[k] && !down_same) todo |= 16U << k;
    }
    while (todo != 0) {
      const unsigned lowest = todo & (0U - todo);
      todo ^= lowest;
      const bool is_down = lowest >= 16U;
      const unsigned mark = is_down ? lowest / 16U : lowest;
      const int k = mark == 1U ? 0 : (mark == 2U ? 1 : (mark == 4U ? 2 : 3));
      const int a = 4 * w + k;
      const std::uint32_t weight = ((is_down ? down : right) >> (8 * k)) & 0xFFU;
      put_edge(block, links, static_cast<Link>(labels[a]), static_cast<Link>(labels[is_down ? a + stride : a + 1]),
               static_cast<Link>(weight));
    }
  });
  return block.sum(trees, [&](int i) { return static_cast<std::int64_t>(links[i] % 256); }, memory.sum_scratch);
}

// What lies beside the image is no measured pixel, but its labels are read.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t count_objects(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                           ChaosMemory& memory) {
  const int border = plane.stride();
  block.for_each(2 * border, [&](int i) {
    const int at = i < border ? i : plane.cells() - 2 * border + i;
    planes.labels[at] = static_cast<Label>(at);
  });
  const std::int64_t ends = hang_pixels(block, plane, planes, memory);
  const int trees = memory.trees;
  if (trees <= planes.n_links) return ends - join_trees(block, plane, planes, planes.links, trees, memory);
  return ends - join_trees(block, plane, planes, planes.more_links, trees, memory);
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
