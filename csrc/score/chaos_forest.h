// Spatial chaos on a device: the weight of a maximum spanning forest of trees. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/cuda/block.h"
#include "core/host_device.h"
#include "score/chaos_hang.h"
#include "score/chaos_plane.h"

namespace imn::score {

// Note [trees joined in rounds]: this is Boruvka's algorithm. In each round, every tree finds its heaviest edge (on a
// tie, the one to the tree of the highest number) and joins the tree at the other end. No cycle of more than two trees
// can close: its edges would have equal weight, and the tree that the highest one chose would have chosen the highest
// one in return. If two trees choose each other, the lower one remains a root. Each round therefore at least halves the
// number of trees that have edges, and each tree joins another exactly once, by an edge of a maximum spanning forest.
// The forest does not depend on the order of the threads.
//
// Each thread keeps the edges that it found in one column of a list; the columns are interleaved. In each round it
// drops the edges whose ends are in the same tree. The list therefore needs no common counter, and edges never move
// between columns.
using Edge = std::uint64_t;  // tree, tree, weight: 29, 29 and 6 bits
IMN_HOST_DEVICE inline Edge edge_of(std::uint64_t a, std::uint64_t b, std::uint64_t weight) {
  return a << 35U | b << 6U | weight;
}

template <typename Label>
struct ChaosForest {
  // weight and other tree of the heaviest edge; for a tree that has joined another, only the weight of that edge
  using Best = std::conditional_t<sizeof(Label) == 2, std::uint32_t, std::uint64_t>;
  static constexpr unsigned kShift = 8 * sizeof(Label);

  Edge* edges;            // room for eight per word
  unsigned char* memory;  // `bytes` bytes, which held the planes
  std::size_t bytes;

  IMN_HOST_DEVICE Best* best() const { return reinterpret_cast<Best*>(memory); }
  IMN_HOST_DEVICE Label* parents(int trees) const { return reinterpret_cast<Label*>(best() + trees); }
  // The rest of the memory holds edges.
  IMN_HOST_DEVICE static std::size_t tree_bytes(int trees) {
    return (static_cast<std::size_t>(trees) * (sizeof(Best) + sizeof(Label)) + 7) / 8 * 8;
  }
};

// Lists the edges between trees. Of consecutive edges between the same two trees, only those heavier than the preceding
// one matter.
template <typename Block, typename Label>
IMN_DEVICE_CODE void list_edges(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes, Edge* edges,
                                ChaosMemory& memory) {
  const std::uint32_t* levels = planes.levels;
  const Label* labels = planes.labels;
  const int across = plane.row_words();
  const int stride = plane.stride();
  const int inner = plane.inner_words();
  const int threads = block.threads();
  block.for_each(threads, [&](int t) {
    Edge* to = edges + t;
    int n = 0;
    for (int i = t; i < inner; i += threads) {
      const int w = across + i;
      const std::uint32_t here = levels[w];
      if (here == 0) continue;
      const std::uint32_t above = levels[w - across];
      const std::uint32_t below = levels[w + across];
      const std::uint32_t before = to_left(levels[w - 1], here);
      const std::uint32_t right = lower(here, to_right(here, levels[w + 1]));
      const std::uint32_t down = lower(here, below);
      // Set where the preceding edge is at least as heavy.
      const std::uint32_t right_known = at_least(lower(above, to_right(above, levels[w - across + 1])), right);
      const std::uint32_t down_known = at_least(lower(before, to_left(levels[w + across - 1], below)), down);
      const std::uint32_t right_some = above_zero(right);
      const std::uint32_t down_some = above_zero(down);
      const FourLabels<Label> own = four_labels(labels, w);
      const FourLabels<Label> upper = four_labels(labels, w - across);
      const FourLabels<Label> under = four_labels(labels, w + across);
      Label last = labels[4 * w - 1];
      Label under_last = labels[4 * w - 1 + stride];
      for (int k = 0; k < 4; ++k) {
        const std::uint32_t bit = 0x80U << (8 * k);
        const Label at = own.at[k];
        const Label next = k < 3 ? own.at[k < 3 ? k + 1 : 3] : labels[4 * w + 4];
        const Label upper_next = k < 3 ? upper.at[k < 3 ? k + 1 : 3] : labels[4 * w + 4 - stride];
        const bool right_same = (right_known & bit) != 0 && upper.at[k] == at && upper_next == next;
        const bool down_same = (down_known & bit) != 0 && last == at && under_last == under.at[k];
        const auto put = [&](Label other, std::uint32_t weights) {
          *to = edge_of(at, other, (weights >> (8 * k)) & 0xFFU);
          to += threads;
          ++n;
        };
        if ((right_some & bit) != 0 && at != next && !right_same) put(next, right);
        if ((down_some & bit) != 0 && at != under.at[k] && !down_same) put(under.at[k], down);
        last = at;
        under_last = under.at[k];
      }
    }
    memory.columns[t] = n;
  });
}

// First part of a round: drops edges within a tree and finds the heaviest edge of every tree. Reads the edges of a
// column from `from` and writes the remaining ones to `to`; returns their number.
template <typename Block, typename Label>
IMN_DEVICE_CODE int find_heaviest(Block& block, const Edge* from, Edge* to, int n,
                                  typename ChaosForest<Label>::Best* best, const Label* parents) {
  using Best = typename ChaosForest<Label>::Best;
  constexpr std::uint64_t kTree = (std::uint64_t{1} << 29U) - 1U;
  const int threads = block.threads();
  int left = 0;
  const auto raise = [&](Label tree, Best key) {
    if (block.load(&best[tree]) < key) block.maximum(&best[tree], key);
  };
  [[maybe_unused]] constexpr int kAhead =
      sizeof(Label) == 2 ? 4 : 1;  // with wide labels a higher value spills registers
  IMN_UNROLL(kAhead)
  for (int k = 0; k < n; ++k, from += threads) {
    const Edge edge = *from;
    const Label a = parents[edge >> 35U];
    const Label b = parents[(edge >> 6U) & kTree];
    if (a == b) continue;
    const auto weight = static_cast<Best>(edge & 63U);
    *to = edge_of(a, b, weight);
    to += threads;
    ++left;
    raise(a, weight << ChaosForest<Label>::kShift | b);
    raise(b, weight << ChaosForest<Label>::kShift | a);
  }
  return left;
}

// Returns the weight of a maximum spanning forest of the trees, from the listed edges. Overwrites the planes.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t join_trees(Block& block, const ChaosForest<Label>& forest, int trees,
                                        ChaosMemory& memory) {
  using Best = typename ChaosForest<Label>::Best;
  constexpr unsigned kShift = ChaosForest<Label>::kShift;
  const int threads = block.threads();
  Best* best = forest.best();
  Label* parents = forest.parents(trees);
  const std::size_t before = ChaosForest<Label>::tree_bytes(trees);
  auto* near = reinterpret_cast<Edge*>(forest.memory + before);
  const auto room = static_cast<int>((forest.bytes - before) / sizeof(Edge) / static_cast<std::size_t>(threads));
  block.for_each(trees, [&](int i) {
    best[i] = 0;
    parents[i] = static_cast<Label>(i);
  });
  block.for_each(2, [&](int i) { memory.more[i] = 0; });
  for (int round = 0;; ++round) {
    block.for_each(threads, [&](int t) {
      // memory.columns[t] is twice the count, plus 1 if the column is in `near`.
      const int column = memory.columns[t];
      if (column == 0) return;
      const bool is_near = round > 0 && column % 2 != 0;
      const int n = round > 0 ? column / 2 : column;
      const bool gets_near = is_near || n <= room;
      const int left = find_heaviest(block, (is_near ? near : forest.edges) + t, (gets_near ? near : forest.edges) + t,
                                     n, best, parents);
      memory.columns[t] = left == 0 ? 0 : 2 * left + (gets_near ? 1 : 0);
      if (left != 0) block.store(&memory.more[round % 2], std::int32_t{1});
    });
    if (memory.more[round % 2] == 0) break;
    block.for_each(trees, [&](int i) {
      if (i == 0) memory.more[(round + 1) % 2] = 0;
      const Best own = best[i];
      if (own >> kShift == 0) return;
      const auto other = static_cast<Label>(own);
      const bool stays = static_cast<Label>(best[other]) == static_cast<Label>(i) && static_cast<Label>(i) < other;
      if (!stays) parents[i] = other;
    });
    block.for_each(trees, [&](int i) {
      const Best weight = best[i] >> kShift;
      if (weight == 0) return;
      walk_up(block, parents, i);
      best[i] = parents[i] == static_cast<Label>(i) ? 0 : weight;
    });
  }
  return block.sum(trees, [&](int i) { return static_cast<std::int64_t>(best[i]); }, memory.sum_scratch);
}

}  // namespace imn::score
