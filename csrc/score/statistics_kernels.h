// The kernels of statistics_cuda() and their sequence, written once for the device and for the emulation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "core/error.h"
#include "score/chaos_block.h"
#include "score/root_block.h"
#include "score/statistics_cuda.h"
#include "score/tile_block.h"

namespace imn::score {

// A kernel consists of its arguments and a call operator for (Block, shared memory). kLeastBlocks is the number of
// blocks that a multiprocessor must be able to hold, which limits the registers. It is set even where it is 1, because
// otherwise the compiler spills registers to fit more blocks.
struct MaskKernel {
  static constexpr int kMostThreads = kTileThreads;
  static constexpr int kLeastBlocks = 3;
  const std::uint8_t* mask;
  TileGrid grid;
  BlurWeights weights;
  float* quotient;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    mask_block(block, mask, grid, weights, quotient, *static_cast<TileMemory*>(shared));
  }
};

struct CountMaskKernel {
  static constexpr int kMostThreads = 1024;
  static constexpr int kLeastBlocks = 1;
  const std::uint8_t* mask;
  TileGrid grid;
  MaskFacts* mask_facts;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    count_mask_block(block, mask, grid, mask_facts, static_cast<std::int64_t*>(shared));
  }
};

struct TileKernel {
  static constexpr int kMostThreads = kTileThreads;
  static constexpr int kLeastBlocks = 4;
  ImageStack images;
  const preprocess::ImageFacts* facts;
  const MaskFacts* mask_facts;
  BlurWeights weights;
  TileSums* sums;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    tile_block(block, images, facts, mask_facts, weights, sums, *static_cast<TileMemory*>(shared));
  }
};

// With 16-bit labels the planes are in shared memory; with 32-bit labels they are in `memory`. Edges are always in
// `memory`.
template <typename Label>
struct ChaosKernel {
  static constexpr int kMostThreads = 1024;
  static constexpr int kLeastBlocks = 1;
  static constexpr bool kInShared = sizeof(Label) == 2;
  ImageStack images;
  const preprocess::ImageFacts* facts;
  std::int64_t* objects;
  unsigned char* memory;
  std::size_t worker_bytes;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    const ChaosPlane plane{images.height, images.width};
    chaos_block(block, images, facts, planes(block, plane, shared), forest(block, plane, shared), objects,
                *static_cast<ChaosMemory*>(shared));
  }

  template <typename Block>
  IMN_DEVICE_CODE ChaosPlanes<Label> planes(const Block& block, const ChaosPlane& plane, void* shared) const {
    unsigned char* at = kept(block, plane, shared);
    return {reinterpret_cast<std::uint32_t*>(at) + 1, reinterpret_cast<Label*>(at + plane.level_bytes())};
  }
  template <typename Block>
  IMN_DEVICE_CODE ChaosForest<Label> forest(const Block& block, const ChaosPlane& plane, void* shared) const {
    return {reinterpret_cast<Edge*>(own(block)), kept(block, plane, shared), kept_bytes(plane)};
  }

  IMN_HOST_DEVICE static std::size_t edge_bytes(const ChaosPlane& plane, int threads) {
    const auto words = static_cast<std::size_t>(plane.inner_words());
    const auto many = static_cast<std::size_t>(threads);
    return 8 * sizeof(Edge) * ((words + many - 1) / many * many);
  }
  // Bytes of the planes, and later of the forest, which replaces them.
  IMN_HOST_DEVICE static std::size_t kept_bytes(const ChaosPlane& plane) {
    // The levels, and the dilated levels in the plane of labels, each have one more word on each side.
    const std::size_t planes =
        plane.level_bytes() + (sizeof(Label) * static_cast<std::size_t>(plane.cells()) + 8 + 15) / 16 * 16;
    return cuda::greater(planes, (ChaosForest<Label>::tree_bytes(plane.most_trees()) + 15) / 16 * 16);
  }

 private:
  template <typename Block>
  IMN_DEVICE_CODE unsigned char* own(const Block& block) const {
    return memory + static_cast<std::size_t>(block.x()) * worker_bytes;
  }
  template <typename Block>
  IMN_DEVICE_CODE unsigned char* kept(const Block& block, const ChaosPlane& plane, void* shared) const {
    if constexpr (kInShared) return static_cast<unsigned char*>(shared) + kChaosMemoryBytes;
    return own(block) + edge_bytes(plane, block.threads());
  }
};

// Block = image.
struct FinishKernel {
  static constexpr int kMostThreads = 64;
  static constexpr int kLeastBlocks = 1;
  int tiles;
  const preprocess::ImageFacts* facts;
  const MaskFacts* mask_facts;
  const TileSums* sums;
  const std::int64_t* objects;
  float* out;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    const std::int64_t image = block.x();
    const preprocess::ImageFacts& fact = facts[image];
    float* to = out + image * kStatistics;
    const auto measured = static_cast<double>(cuda::greater<int>(fact.measured, 1));
    const auto coverage = static_cast<float>(static_cast<double>(fact.positive) / measured);
    if (fact.blank != 0) {
      block.once([&] { to[0] = to[1] = to[2] = 0.0F, to[3] = coverage; });
      return;
    }
    const TileSums all = block.reduce(
        tiles, TileSums{}, [&](int i) { return sums[image * tiles + i]; },
        [](const TileSums& a, const TileSums& b) { return a + b; }, static_cast<TileSums*>(shared));
    block.once([&] {
      const std::int64_t links = fact.measured == mask_facts->measured ? mask_facts->links : all.links;
      const double moran = measured / static_cast<double>(links) * all.products / all.squares;
      const double left = all.blurred_squares - all.blurred * all.blurred / measured;
      to[0] = links == 0 ? 0.0F : static_cast<float>(moran);
      to[1] = static_cast<float>((left > 0.0 ? left : 0.0) / all.squares);
      to[2] = chaos_measure(objects[image], fact.positive);
      to[3] = coverage;
    });
  }
};

struct RootFactsKernel {
  static constexpr int kMostThreads = 512;
  static constexpr int kLeastBlocks = 1;
  ImageStack images;
  const preprocess::ImageFacts* facts;
  RootFacts* roots;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    root_facts_block(block, images, facts, roots, static_cast<RootFacts*>(shared));
  }
};

struct RootTileKernel {
  static constexpr int kMostThreads = kTileThreads;
  static constexpr int kLeastBlocks = 3;
  ImageStack images;
  const preprocess::ImageFacts* facts;
  const RootFacts* roots;
  BlurWeights weights;
  RootSums* sums;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    root_tile_block(block, images, facts, roots, weights, sums, *static_cast<RootMemory*>(shared));
  }
};

struct FinishRootsKernel {
  static constexpr int kMostThreads = 64;
  static constexpr int kLeastBlocks = 1;
  int tiles;
  const preprocess::ImageFacts* facts;
  const RootFacts* roots;
  const RootSums* sums;
  float* out;

  template <typename Block>
  IMN_DEVICE_CODE void operator()(Block& block, void* shared) const {
    finish_roots_block(block, tiles, facts, roots, sums, out, static_cast<RootSums*>(shared));
  }
};

// Properties of the device that determine how the kernels are launched.
struct LaunchLimits {
  std::size_t shared_per_block;
  std::size_t shared_per_multiprocessor;
  int multiprocessors;
};

struct StatisticsPlan {
  int tiles;
  bool chaos_in_shared;
  int chaos_threads;
  std::size_t chaos_shared_bytes;
  int workers;  // thread blocks that count objects
  std::size_t worker_bytes;
  std::size_t sums, objects, facts, memory;  // offsets in the scratch memory
  std::size_t root_facts, root_sums;         // empty unless roots are wanted
  std::size_t bytes;                         // of the scratch memory
};

inline StatisticsPlan plan_statistics(std::int64_t n, std::int32_t height, std::int32_t width,
                                      const LaunchLimits& limits, bool roots) {
  constexpr std::int64_t kMostCells = std::int64_t{1} << 30;
  constexpr std::int64_t kMostTiles = (std::int64_t{1} << 31) - 1;
  constexpr std::size_t kMostWorkerMemory = std::size_t{1} << 28;
  if (height <= 0 || width <= 0) throw ArgumentError("images must have at least one pixel");
  if ((std::int64_t{height} + 2) * (std::int64_t{width} + 2) > kMostCells) {
    throw ArgumentError("statistics of images of more than 2^30 pixels cannot be computed on a GPU");
  }
  const auto aligned = [](std::size_t bytes) { return (bytes + 255) / 256 * 256; };
  const ChaosPlane plane{height, width};
  StatisticsPlan plan{};
  plan.tiles = TileGrid{height, width}.count();
  if (n * plan.tiles > kMostTiles) throw ArgumentError("too many images of this size at once; pass fewer");
  const std::size_t shared = kChaosMemoryBytes + ChaosKernel<std::uint16_t>::kept_bytes(plane);
  plan.chaos_in_shared = plane.cells() <= 65536 && shared <= limits.shared_per_block;
  plan.chaos_threads = plane.cells() < 16384 ? 512 : 1024;
  plan.chaos_shared_bytes = plan.chaos_in_shared ? shared : kChaosMemoryBytes;
  constexpr std::size_t kReserved = 1024;  // by the system, per block
  const std::size_t blocks =
      std::clamp<std::size_t>(limits.shared_per_multiprocessor / (plan.chaos_shared_bytes + kReserved), 1,
                              2048 / static_cast<std::size_t>(plan.chaos_threads));
  const std::size_t edges = ChaosKernel<std::uint16_t>::edge_bytes(plane, plan.chaos_threads);
  plan.worker_bytes = aligned(plan.chaos_in_shared ? edges : edges + ChaosKernel<std::uint32_t>::kept_bytes(plane));
  const std::size_t most = std::max<std::size_t>(1, kMostWorkerMemory / plan.worker_bytes);
  plan.workers = static_cast<int>(std::min<std::int64_t>(
      n, static_cast<std::int64_t>(std::min(most, blocks * static_cast<std::size_t>(limits.multiprocessors)))));
  const auto count = static_cast<std::size_t>(n);
  plan.objects = aligned(count * static_cast<std::size_t>(plan.tiles) * sizeof(TileSums));
  plan.facts = plan.objects + aligned(count * sizeof(std::int64_t));
  plan.memory = plan.facts + aligned(count * sizeof(preprocess::ImageFacts));
  plan.root_facts = plan.memory + static_cast<std::size_t>(plan.workers) * plan.worker_bytes;
  plan.root_sums = plan.root_facts + (roots ? aligned(count * sizeof(RootFacts)) : 0);
  plan.bytes = plan.root_sums + (roots ? aligned(count * static_cast<std::size_t>(plan.tiles) * sizeof(RootSums)) : 0);
  return plan;
}

// Calls run(name, blocks, threads, shared bytes, kernel), which launches or emulates a kernel.
template <typename Run>
void run_mask(const std::uint8_t* mask, std::int32_t height, std::int32_t width, void* mask_facts, Run&& run) {
  const StatisticsPlan plan = plan_statistics(1, height, width, {0, 0, 1}, false);  // for its checks only
  auto* to = static_cast<MaskFacts*>(mask_facts);
  auto* quotient = reinterpret_cast<float*>(static_cast<unsigned char*>(mask_facts) + MaskFacts::header());
  run("count_mask", 1, 1024, cuda::kScratch * sizeof(std::int64_t), CountMaskKernel{mask, {height, width}, to});
  run("prepare_mask", plan.tiles, kTileThreads, sizeof(TileMemory),
      MaskKernel{mask, {height, width}, gaussian(), quotient});
}

// call.facts must be set.
template <typename Run>
void run_statistics(const StatisticsCall& call, const StatisticsPlan& plan, Run&& run) {
  const ImageStack& images = call.images;
  const auto n = static_cast<int>(images.n);
  auto* scratch = static_cast<unsigned char*>(call.scratch);
  auto* sums = reinterpret_cast<TileSums*>(scratch + plan.sums);
  auto* objects = reinterpret_cast<std::int64_t*>(scratch + plan.objects);
  run("tile_statistics", n * plan.tiles, kTileThreads, sizeof(TileMemory),
      TileKernel{images, call.facts, static_cast<const MaskFacts*>(call.mask_facts), gaussian(), sums});
  const auto count = [&](const auto& kernel) {
    run("count_objects", plan.workers, plan.chaos_threads, plan.chaos_shared_bytes, kernel);
  };
  unsigned char* memory = scratch + plan.memory;
  if (plan.chaos_in_shared) {
    count(ChaosKernel<std::uint16_t>{images, call.facts, objects, memory, plan.worker_bytes});
  } else {
    count(ChaosKernel<std::uint32_t>{images, call.facts, objects, memory, plan.worker_bytes});
  }
  run("finish_statistics", n, FinishKernel::kMostThreads, cuda::kScratch * sizeof(TileSums),
      FinishKernel{plan.tiles, call.facts, static_cast<const MaskFacts*>(call.mask_facts), sums, objects, call.out});
  if (!call.roots) return;
  auto* roots = reinterpret_cast<RootFacts*>(scratch + plan.root_facts);
  auto* root_sums = reinterpret_cast<RootSums*>(scratch + plan.root_sums);
  run("root_facts", n, RootFactsKernel::kMostThreads, cuda::kScratch * sizeof(RootFacts),
      RootFactsKernel{images, call.facts, roots});
  run("root_statistics", n * plan.tiles, kTileThreads, sizeof(RootMemory),
      RootTileKernel{images, call.facts, roots, gaussian(), root_sums});
  run("finish_roots", n, FinishRootsKernel::kMostThreads, cuda::kScratch * sizeof(RootSums),
      FinishRootsKernel{plan.tiles, call.facts, roots, root_sums, call.out});
}

// Returns the call that writes the images' facts to the scratch memory, for a StatisticsCall without facts.
inline preprocess::PreprocessCall facts_call(const StatisticsCall& call, const StatisticsPlan& plan) {
  auto* facts = reinterpret_cast<preprocess::ImageFacts*>(static_cast<unsigned char*>(call.scratch) + plan.facts);
  return {call.images, {.mask = true}, preprocess::ElementType::f32, nullptr, facts};
}

}  // namespace imn::score
