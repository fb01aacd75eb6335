// Spatial chaos on a device: attaches every pixel to a neighbour that is at least as high.
#pragma once

#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"
#include "score/chaos_plane.h"

namespace imn::score {

// Comparisons of the four pixels of a word with their neighbours, one in the high bit of each byte.
struct HungWord {
  std::uint32_t stays;            // the pixel is 0
  std::uint32_t up, right, down;  // this neighbour is at least as high; higher; higher
  std::uint32_t heads;            // the pixel is 0, or its left neighbour is lower
  int last;                       // cell of the last head, or -1
};

template <typename Label>
struct alignas(4 * sizeof(Label)) FourLabels {
  Label at[4];
};
template <typename Label>
IMN_HOST_DEVICE FourLabels<Label>& four_labels(Label* labels, int word) {
  return *reinterpret_cast<FourLabels<Label>*>(labels + 4 * word);
}
template <typename Label>
IMN_HOST_DEVICE FourLabels<Label> four_labels(const Label* labels, int word) {
  return *reinterpret_cast<const FourLabels<Label>*>(labels + 4 * word);
}

IMN_HOST_DEVICE inline std::uint32_t above_zero(std::uint32_t word) { return (word + ~kHighBits) & kHighBits; }
// Returns the first pixel whose high bit is set; at least one must be.
IMN_HOST_DEVICE inline int first_marked(std::uint32_t high) {
  return (high & 0x8080U) != 0 ? ((high & 0x80U) != 0 ? 0 : 1) : ((high & 0x800000U) != 0 ? 2 : 3);
}
IMN_HOST_DEVICE inline int last_marked(std::uint32_t high) {
  return (high & 0x80800000U) != 0 ? ((high & 0x80000000U) != 0 ? 3 : 2) : ((high & 0x8000U) != 0 ? 1 : 0);
}

IMN_HOST_DEVICE inline HungWord hang_word(const std::uint32_t* levels, int w, int across) {
  HungWord word;
  const std::uint32_t here = levels[w];
  const std::uint32_t some = above_zero(here);
  word.stays = ~some;
  word.up = at_least(levels[w - across], here);
  word.right = ~at_least(here, to_right(here, levels[w + 1]));
  word.down = ~at_least(here, levels[w + across]);
  word.heads = ~(some & at_least(to_left(levels[w - 1], here), here)) & kHighBits;
  word.last = word.heads == 0 ? -1 : 4 * w + last_marked(word.heads);
  return word;
}

// Follows the path from `at` to its end, shortening it for later walks.
template <typename Block, typename Label>
IMN_DEVICE_CODE void walk_up(Block& block, Label* labels, int at) {
  Label up = block.load(&labels[at]);
  while (true) {
    const Label further = block.load(&labels[up]);
    if (further == up) break;
    block.store(&labels[at], further);
    up = further;
  }
}

// Attaches every pixel to a neighbour that is at least as high; equally high ones count only on the left or above, so
// no cycle closes. Returns the sum of the pixels that are attached to nothing. Afterwards every label is the number of
// its tree, and memory.trees is the number of trees. A run of pixels that are each attached to the left ends at its
// head, so only heads have paths to follow.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t hang_pixels(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                         ChaosMemory& memory) {
  std::uint32_t* levels = planes.levels;
  Label* labels = planes.labels;
  const int across = plane.row_words();
  const int stride = plane.stride();
  const int inner = plane.inner_words();
  block.once([&] { memory.trees = 0; });
  block.for_each_with_last(
      inner, [&](int i) { return hang_word(levels, across + i, across); },
      [&](int i, const HungWord& word, int last, int group) {
        const int w = across + i;
        int to = last >= 0 ? last : 4 * (across + group) - 1;
        FourLabels<Label> four;
        for (int k = 0; k < 4; ++k) {
          const std::uint32_t bit = 0x80U << (8 * k);
          const int at = 4 * w + k;
          if ((word.heads & bit) != 0) {
            to = at;
            const int next = (word.up & bit) != 0      ? at - stride
                             : (word.right & bit) != 0 ? at + 1
                             : (word.down & bit) != 0  ? at + stride
                                                       : at;
            four.at[k] = static_cast<Label>((word.stays & bit) != 0 ? at : next);
          } else {
            four.at[k] = static_cast<Label>(to);
          }
        }
        four_labels(labels, w) = four;
      });
  block.for_each(inner, [&](int i) {
    const int w = across + i;
    const std::uint32_t here = levels[w];
    std::uint32_t heads = above_zero(here) & ~at_least(to_left(levels[w - 1], here), here);
    while (heads != 0) {
      walk_up(block, labels, 4 * w + first_marked(heads));
      heads &= heads - 1U;
    }
  });
  block.for_each(4 * inner, [&](int i) { walk_up(block, labels, 4 * across + i); });
  // Numbers the trees and marks their ends.
  const std::int64_t sum = block.sum(
      inner,
      [&](int i) {
        const int w = across + i;
        const std::uint32_t here = levels[w];
        const FourLabels<Label> four = four_labels(labels, w);
        std::uint32_t marks = 0;
        std::int32_t ends = 0;
        for (int k = 0; k < 4; ++k) {
          const auto level = static_cast<std::int32_t>((here >> (8 * k)) & 0xFFU);
          if (four.at[k] == static_cast<Label>(4 * w + k) && level != 0) {
            labels[4 * w + k] = static_cast<Label>(block.add(&memory.trees, std::int32_t{1}));
            marks |= 0x80U << (8 * k);
            ends += level;
          }
        }
        if (marks != 0) levels[w] = here | marks;
        return static_cast<std::int64_t>(ends);
      },
      memory.sum_scratch);
  block.for_each(inner, [&](int i) {
    const int w = across + i;
    const std::uint32_t here = levels[w];
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t level = (here >> (8 * k)) & 0xFFU;
      if (level != 0 && level < 0x80U) {
        const int at = 4 * w + k;
        // Labels of marked pixels no longer change, but others may.
        labels[at] = block.load(&labels[labels[at]]);
      }
    }
  });
  block.for_each(inner, [&](int i) { levels[across + i] &= ~kHighBits; });
  return sum;
}

}  // namespace imn::score
