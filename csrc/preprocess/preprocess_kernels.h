// The kernel of preprocess_cuda(): one thread block makes the network's input of one image. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cuda/block.h"
#include "core/error.h"
#include "preprocess/image_quads.h"
#include "preprocess/preprocess_cuda.h"
#include "preprocess/quantile.h"
#include "preprocess/radix_select.h"
#include "preprocess/resize_weights.h"

namespace imn::preprocess {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How the kernel is launched: one block an image.
struct PreprocessPlan {
  bool in_shared;  // the image is kept in shared memory
  int threads;
  std::size_t shared_bytes;
};

// Sums of doubles over the pixels; the order of the joins is that of Block::reduce().
struct Stretched {
  double sum;
  float lowest;
  float highest;
  std::int32_t positive;
  std::int32_t unused;
};

struct PreprocessMemory {  // shared; the image's quads follow where they fit
  union {
    SelectMemory select;
    Tap taps[2][kInputSize];  // along x and y, once the quantile is known
  };
  Stretched scratch[cuda::kScratch];
};
inline constexpr std::size_t kMemoryBytes = (sizeof(PreprocessMemory) + 15) / 16 * 16;

inline PreprocessPlan plan_preprocess(std::int64_t pixels, std::size_t most_shared_bytes) {
  const auto quads = static_cast<std::size_t>((pixels + 6) / 4);  // wherever the image begins within one
  const std::size_t bytes = kMemoryBytes + quads * sizeof(Quad);
  const bool fits = bytes <= most_shared_bytes;
  // The same threads either way: they decide the order of the sums.
  return {fits, pixels < 16384 ? 512 : 1024, fits ? bytes : kMemoryBytes};
}

inline void check_call(const PreprocessCall& call) {
  if (call.images.n <= 0) return;
  if (call.images.height <= 0 || call.images.width <= 0) throw ArgumentError("images must have at least one pixel");
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() - 7;
  if (call.images.pixels() > kMost) throw ArgumentError("images of 2^31 pixels and more do not run on a GPU");
}

// Two neighbours of the result, from index `at`, which is even.
IMN_HOST_DEVICE inline void write_pair(void* out, ElementType type, std::int64_t at, float a, float b) {
  struct alignas(8) Two {
    float a, b;
  };
  if (type == ElementType::f32) {
    *reinterpret_cast<Two*>(static_cast<float*>(out) + at) = {a, b};
    return;
  }
  const bool bf16 = type == ElementType::bf16;
  const std::uint32_t low = bf16 ? bf16_bits(a) : f16_bits(a);
  const std::uint32_t high = bf16 ? bf16_bits(b) : f16_bits(b);
  *reinterpret_cast<std::uint32_t*>(static_cast<std::uint16_t*>(out) + at) = low | (high << 16);
}

// One line of the resize between two pixels: the order of preprocess_cpu().
IMN_HOST_DEVICE inline float mix(float first, float second, float weight) {
  return first * (1.0F - weight) + second * weight;
}

// x(i): the normalised pixel i, NaN where not measured. Writes the channels of one image from index `at` on.
template <typename Block, typename Pixel>
IMN_DEVICE_CODE void resize_image(Block& block, const PreprocessCall& call, Pixel&& x, Tap (&taps)[2][kInputSize],
                                  std::int64_t at) {
  constexpr int kHalf = kInputSize / 2;
  constexpr int kPlane = kInputSize * kInputSize;
  block.for_each(2 * kInputSize, [&](int i) {
    const bool along_y = i >= kInputSize;
    const int to = along_y ? i - kInputSize : i;
    taps[along_y ? 1 : 0][to] = bilinear_tap(to, along_y ? call.images.height : call.images.width, kInputSize);
  });
  const bool with_mask = call.id == PreprocessId::p99_stretch_224_mask;
  block.for_each(kInputSize * kHalf, [&](int i) {
    const int row = i / kHalf;
    const int column = 2 * (i - row * kHalf);
    const Tap y = taps[1][row];
    const int top = y.first * call.images.width;
    const int bottom = y.second * call.images.width;
    float value[2];
    float measured[2];
    for (int k = 0; k < 2; ++k) {
      const Tap tap = taps[0][column + k];
      const float a = x(top + tap.first);
      const float b = x(top + tap.second);
      const float c = x(bottom + tap.first);
      const float d = x(bottom + tap.second);
      const auto clean = [](float pixel) { return pixel == pixel ? pixel : 0.0F; };
      const auto one = [](float pixel) { return pixel == pixel ? 1.0F : 0.0F; };
      value[k] = mix(mix(clean(a), clean(b), tap.weight), mix(clean(c), clean(d), tap.weight), y.weight);
      measured[k] = mix(mix(one(a), one(b), tap.weight), mix(one(c), one(d), tap.weight), y.weight);
    }
    write_pair(call.out, call.type, at + 2 * i, value[0], value[1]);
    if (with_mask) write_pair(call.out, call.type, at + kPlane + 2 * i, measured[0], measured[1]);
  });
}

// Divides, clips, and gathers what is known of x.
template <typename Block, typename Pixel, typename Keep>
IMN_DEVICE_CODE Stretched stretch_image(Block& block, int n, float by, Pixel&& pixel, Keep&& keep, Stretched* scratch) {
  const auto of_pixel = [&](int i) {
    const float raw = pixel(i);
    if (raw != raw) return Stretched{0.0, kInfinity, -kInfinity, 0, 0};
    const float x = normalise(raw, by);
    keep(i, x);
    return Stretched{static_cast<double>(x), x, x, x > 0.0F ? 1 : 0, 0};
  };
  const auto join = [](const Stretched& a, const Stretched& b) {
    return Stretched{a.sum + b.sum, a.lowest < b.lowest ? a.lowest : b.lowest,
                     a.highest > b.highest ? a.highest : b.highest, a.positive + b.positive, 0};
  };
  return block.reduce(n, Stretched{0.0, kInfinity, -kInfinity, 0, 0}, of_pixel, join, scratch);
}

// `shared`: plan.shared_bytes, at a multiple of 16.
template <bool kInShared, typename Block>
IMN_DEVICE_CODE void preprocess_block(Block& block, const PreprocessCall& call, void* shared) {
  auto& memory = *static_cast<PreprocessMemory*>(shared);
  auto* quads = reinterpret_cast<Quad*>(static_cast<unsigned char*>(shared) + kMemoryBytes);
  const int n = call.images.height * call.images.width;
  const std::int64_t image = block.x();
  const GlobalImage global(call.images.image(image), call.images.mask, n);
  const SharedImage kept(quads, global);
  const bool with_mask = call.id == PreprocessId::p99_stretch_224_mask;

  clear_bins(block, memory.select);
  const std::int32_t measured = global.reduce_quads(
      block, 0,
      [&](int q, const Quad& quad) {
        if constexpr (kInShared) kept.put_quad(q, quad);
        return count_quad(block, quad, 0, digit_of_pass(0), memory.select);
      },
      [](int a, int b) { return a + b; }, memory.select.scan);

  const std::int32_t counted = with_mask ? measured : n;
  float by = 1.0F;
  if (counted > 0) {
    const QuantileRank rank = quantile_rank(counted);
    const auto from_top = static_cast<std::int32_t>(counted - rank.below);
    const auto select = [&](const auto& pixels) {
      return select_from_top(block, pixels, from_top, counted - measured, memory.select);
    };
    Neighbours pair;
    if constexpr (kInShared) {
      pair = select(kept);
    } else {
      pair = select(global);
    }
    by = divisor(quantile_between(pair.value, pair.above, rank.weight));
  }

  Stretched all;
  if constexpr (kInShared) {
    all = stretch_image(
        block, n, by, [&](int i) { return kept.at(i); }, [&](int i, float x) { kept.put(i, x); }, memory.scratch);
  } else {
    all = stretch_image(block, n, by, [&](int i) { return global.at(i); }, [](int, float) {}, memory.scratch);
  }
  if (call.facts != nullptr) {
    block.once([&] {
      call.facts[image] = {all.sum, by, measured, all.positive, measured == 0 || all.lowest == all.highest ? 1 : 0};
    });
  }
  if (call.out == nullptr) return;
  const std::int64_t at = image * (with_mask ? 2 : 1) * kInputSize * kInputSize;
  if constexpr (kInShared) {
    resize_image(block, call, [&](int i) { return kept.at(i); }, memory.taps, at);
  } else {
    resize_image(
        block, call,
        [&](int i) {
          const float raw = global.at(i);
          return raw == raw ? normalise(raw, by) : raw;
        },
        memory.taps, at);
  }
}

}  // namespace imn::preprocess
