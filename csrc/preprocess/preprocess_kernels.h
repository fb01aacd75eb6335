// The kernel of preprocess_cuda(). One thread block computes the network input of one image. See core/cuda/block.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cuda/block.h"
#include "core/error.h"
#include "preprocess/image_quads.h"
#include "preprocess/normaliser.h"
#include "preprocess/preprocess_cuda.h"
#include "preprocess/quantile.h"
#include "preprocess/radix_select.h"
#include "preprocess/resize_weights.h"

namespace imn::preprocess {

// Side of the input of the published ids, p99-stretch-224 and p99-stretch-224-mask, which have a kernel of their own.
inline constexpr std::int32_t kInputSize = 224;

inline bool is_published(const PreprocessId& id) { return id == PreprocessId{.size = kInputSize, .mask = id.mask}; }

// Launch parameters of the kernel; one block per image.
struct PreprocessPlan {
  bool in_shared;  // whether the image is kept in shared memory
  int threads;
  int list_capacity;
  std::size_t shared_bytes;
};

// Results of the first pass.
struct Loaded {
  std::int32_t measured;
  std::int32_t zeros;  // measured pixels that are 0
  float lowest, highest;
};

// Sums over the pixels, in the fixed order of Block::reduce().
struct Stretched {
  double sum;
  std::int32_t positive;
  std::int32_t unused;
};

// In shared memory, followed by the list of select_by_sample() and, if they fit, the image's quads.
struct PreprocessMemory {
  union {
    SelectMemory select;
    Tap taps[kInputSize];  // taps along y, of the published ids; used once the quantile is known
  };
  union {
    Stretched scratch[cuda::kScratch];
    Loaded loaded[cuda::kScratch];
  };
};
inline constexpr std::size_t kMemoryBytes = (sizeof(PreprocessMemory) + 15) / 16 * 16;

inline PreprocessPlan plan_preprocess(std::int64_t pixels, std::size_t most_shared_bytes) {
  const int listed = list_capacity(pixels);
  const std::size_t least = kMemoryBytes + static_cast<std::size_t>(listed) * sizeof(float);
  const auto quads = static_cast<std::size_t>((pixels + 6) / 4);  // for any position of the first pixel in its quad
  const std::size_t bytes = least + quads * sizeof(Quad);
  const bool fits = bytes <= most_shared_bytes;
  // The number of threads must not depend on `fits`, because it determines the order of the sums.
  return {fits, pixels < 16384 ? 512 : 1024, listed, fits ? bytes : least};
}

inline void check_call(const PreprocessCall& call) {
  if (call.images.n <= 0) return;
  if (call.images.height <= 0 || call.images.width <= 0) throw ArgumentError("images must have at least one pixel");
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() - 7;
  if (call.images.pixels() > kMost) throw ArgumentError("images must have fewer than 2^31 - 7 pixels to run on a GPU");
}

// Writes two neighbouring values of the result at index `at`, which must be even.
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

// Interpolates between two pixels, with the operations in the order of preprocess_cpu().
IMN_HOST_DEVICE inline float mix(float first, float second, float weight) {
  return first * (1.0F - weight) + second * weight;
}

// Two neighbouring values of a row resized along x. measured is 1, or less next to unmeasured pixels.
struct ResizedPair {
  float value[2];
  float measured[2];
};

template <typename Pixel>
IMN_HOST_DEVICE ResizedPair resize_along_x(Pixel&& x, int row_at, const Tap& left, const Tap& right) {
  const auto column = [&](const Tap& tap, float& value, float& measured) {
    const float a = x(row_at + tap.first);
    const float b = x(row_at + tap.second);
    value = mix(a, b, tap.weight);
    measured = 1.0F;  // mix(1, 1, weight) is exactly 1
    if (value != value) {
      value = mix(a == a ? a : 0.0F, b == b ? b : 0.0F, tap.weight);
      measured = mix(a == a ? 1.0F : 0.0F, b == b ? 1.0F : 0.0F, tap.weight);
    }
  };
  ResizedPair pair;
  column(left, pair.value[0], pair.measured[0]);
  column(right, pair.value[1], pair.measured[1]);
  return pair;
}

// x(i) returns the normalised pixel i, NaN where not measured; `whole` means that all pixels are measured. Writes the
// channels of one image from index `at` on. Each item computes two columns of kRows consecutive rows, so that a row of
// the image is resized along x once and serves all output rows that read it. kAcross is a multiple of the warp size, so
// all threads of a warp handle the same rows.
template <typename Block, typename Pixel>
IMN_DEVICE_CODE void resize_image(Block& block, const PreprocessCall& call, Pixel&& x, Tap (&taps)[kInputSize],
                                  bool whole, std::int64_t at) {
  constexpr int kHalf = kInputSize / 2;
  constexpr int kAcross = 128;
  constexpr int kRows = kInputSize / 8;
  constexpr int kPlane = kInputSize * kInputSize;
  static_assert(kHalf <= kAcross && kInputSize % kRows == 0);
  const int width = call.images.width;
  block.for_each(kInputSize, [&](int i) { taps[i] = bilinear_tap(i, call.images.height, kInputSize); });
  const bool with_mask = call.id.mask;
  block.for_each(kInputSize / kRows * kAcross, [&](int i) {
    const int pair = i % kAcross;
    if (pair >= kHalf) return;
    const Tap left = bilinear_tap(2 * pair, width, kInputSize);
    const Tap right = bilinear_tap(2 * pair + 1, width, kInputSize);
    const int first_row = i / kAcross * kRows;
    ResizedPair above{};
    ResizedPair below{};
    int above_row = -1;
    int below_row = -1;
    std::int64_t to = at + first_row * kInputSize + 2 * pair;
    for (int row = first_row; row < first_row + kRows; ++row, to += kInputSize) {
      const Tap y = taps[row];
      if (y.first != above_row) {
        above = y.first == below_row ? below : resize_along_x(x, y.first * width, left, right);
        above_row = y.first;
      }
      if (y.second != below_row) {
        below = y.second == above_row ? above : resize_along_x(x, y.second * width, left, right);
        below_row = y.second;
      }
      write_pair(call.out, call.type, to, mix(above.value[0], below.value[0], y.weight),
                 mix(above.value[1], below.value[1], y.weight));
      if (with_mask && whole) {
        write_pair(call.out, call.type, to + kPlane, 1.0F, 1.0F);
      } else if (with_mask) {
        write_pair(call.out, call.type, to + kPlane, mix(above.measured[0], below.measured[0], y.weight),
                   mix(above.measured[1], below.measured[1], y.weight));
      }
    }
  });
}

// One value of each channel that is made of the image.
struct Sampled {
  float image;
  float measured;
  float root;  // of the image, if it is a channel
};

// x(i) as in resize_image(). Pixels that were not measured count as 0.
template <typename Pixel>
IMN_HOST_DEVICE Sampled sample_pixel(Pixel&& x, int i, bool with_root) {
  const float value = x(i);
  if (value != value) return {0.0F, 0.0F, 0.0F};
  return {value, 1.0F, with_root ? sqrtf(value) : 0.0F};
}

IMN_HOST_DEVICE inline Sampled mix(const Sampled& a, const Sampled& b, float weight) {
  return {mix(a.image, b.image, weight), mix(a.measured, b.measured, weight), mix(a.root, b.root, weight)};
}

IMN_HOST_DEVICE inline Sampled scaled(const Sampled& a, float weight) {
  return {a.image * weight, a.measured * weight, a.root * weight};
}

IMN_HOST_DEVICE inline void add_to(Sampled& sum, const Sampled& a) {
  sum.image += a.image;
  sum.measured += a.measured;
  sum.root += a.root;
}

// One pixel of the result by Resize::area, along y first and then along x, as Resizer does.
template <typename Pixel>
IMN_HOST_DEVICE Sampled shrink_to(const PreprocessCall& call, Pixel&& x, int row, int column) {
  const AreaAxisView& across = call.tables.x;
  const AreaAxisView& down = call.tables.y;
  const int size = call.id.size;
  const int width = call.images.width;
  const bool with_root = call.id.sqrt;
  Sampled sum{};
  for (int k = 0; k < across.taps; ++k) {
    const int at = down.first[row] * width + across.first[column] + k;
    Sampled along_y = scaled(sample_pixel(x, at, with_root), down.weights[row]);
    for (int j = 1; j < down.taps; ++j) {
      const float weight = down.weights[j * size + row];
      if (weight != 0.0F) add_to(along_y, scaled(sample_pixel(x, at + j * width, with_root), weight));
    }
    const Sampled weighted = scaled(along_y, across.weights[k * size + column]);
    if (k == 0) {
      sum = weighted;
    } else {
      add_to(sum, weighted);
    }
  }
  return {fminf(sum.image, 1.0F), fminf(sum.measured, 1.0F), fminf(sum.root, 1.0F)};
}

// One pixel of the result by Resize::stretch, along x first and then along y.
template <typename Pixel>
IMN_HOST_DEVICE Sampled stretch_to(const PreprocessCall& call, Pixel&& x, int row, int column) {
  const Tap down = bilinear_tap(row, call.images.height, call.id.size);
  const Tap across = bilinear_tap(column, call.images.width, call.id.size);
  const auto along_x = [&](int source) {
    const int at = source * call.images.width;
    return mix(sample_pixel(x, at + across.first, call.id.sqrt), sample_pixel(x, at + across.second, call.id.sqrt),
               across.weight);
  };
  return mix(along_x(down.first), along_x(down.second), down.weight);
}

// As resize_image(), for every id: each item computes two neighbouring values of all channels.
template <typename Block, typename Pixel>
IMN_DEVICE_CODE void resize_any(Block& block, const PreprocessCall& call, Pixel&& x, std::int64_t at) {
  const PreprocessId& id = call.id;
  const int half = id.size / 2;
  const int plane = id.size * id.size;
  const bool area = shrinks(call.images.height, call.images.width, id);
  block.for_each(plane / 2, [&](int i) {
    const int row = i / half;
    const int column = i % half * 2;
    const auto pixel = [&](int to_column) {
      return area ? shrink_to(call, x, row, to_column) : stretch_to(call, x, row, to_column);
    };
    const Sampled left = pixel(column);
    const Sampled right = pixel(column + 1);
    const std::int64_t to = at + row * id.size + column;
    const auto write = [&](int channel, float a, float b) {
      write_pair(call.out, call.type, to + channel * plane, a, b);
    };
    write(0, left.image, right.image);
    if (id.mask) write(1, left.measured, right.measured);
    if (id.sqrt) write(id.sqrt_channel(), left.root, right.root);
    if (id.sample) write(id.sample_channel(), call.tables.sample[2 * i], call.tables.sample[2 * i + 1]);
  });
}

// Divides and clips the pixels, four at a time, and sums the results.
template <typename Block, typename Image, typename Keep>
IMN_DEVICE_CODE Stretched stretch_image(Block& block, int n, const Normaliser& normaliser, const Image& image,
                                        Keep&& keep, Stretched* scratch) {
  const auto of_four = [&](int q) {
    Quad quad = image.four(q);
    Stretched found{};
    for (float& x : quad.x) {
      if (x != x) continue;
      x = normaliser.at(x);
      found.sum += static_cast<double>(x);
      found.positive += x > 0.0F ? 1 : 0;
    }
    keep(q, quad);
    return found;
  };
  const auto join = [](const Stretched& a, const Stretched& b) {
    return Stretched{a.sum + b.sum, a.positive + b.positive, 0};
  };
  return block.reduce((n + 3) / 4, Stretched{}, of_four, join, scratch);
}

// `shared` points to plan.shared_bytes bytes, 16-byte aligned. kPublished: is_published(call.id).
template <bool kInShared, bool kPublished, typename Block>
IMN_DEVICE_CODE void preprocess_block(Block& block, const PreprocessCall& call, void* shared) {
  auto& memory = *static_cast<PreprocessMemory*>(shared);
  const int n = call.images.height * call.images.width;
  const int capacity = list_capacity(n);
  auto* list = reinterpret_cast<Quad*>(static_cast<unsigned char*>(shared) + kMemoryBytes);
  Quad* quads = list + capacity / 4;
  const std::int64_t image = block.x();
  const GlobalImage global(call.images.image(image), call.images.mask, n);
  const SharedImage kept(quads, global);
  const bool with_mask = call.id.mask;

  clear_bins(block, memory.select);
  const Loaded loaded = global.reduce_quads(
      block, Loaded{0, 0, kInfinity, -kInfinity},
      [&](int q, const Quad& quad) {
        if constexpr (kInShared) kept.put_quad(q, quad);
        count_sample(block, q, quad, memory.select);
        Loaded found{0, 0, kInfinity, -kInfinity};
        for (const float x : quad.x) {
          found.measured += x == x ? 1 : 0;
          found.zeros += x == 0.0F ? 1 : 0;
          found.lowest = fminf(found.lowest, x);  // ignores NaN
          found.highest = fmaxf(found.highest, x);
        }
        return found;
      },
      [](const Loaded& a, const Loaded& b) {
        return Loaded{a.measured + b.measured, a.zeros + b.zeros, fminf(a.lowest, b.lowest),
                      fmaxf(a.highest, b.highest)};
      },
      memory.loaded);
  const std::int32_t measured = loaded.measured;

  const std::int32_t counted = with_mask ? measured : n;
  float by = 1.0F;
  if (measured > 0) {
    const QuantileRank rank = quantile_rank(counted);
    const auto from_top = static_cast<std::int32_t>(counted - rank.below);
    const auto select = [&](const auto& pixels) {
      return select_by_sample(block, pixels, {measured, from_top, counted - measured, loaded.zeros, loaded.highest},
                              list, capacity, memory.select);
    };
    Neighbours pair;
    if constexpr (kInShared) {
      pair = select(kept);
    } else {
      pair = select(global);
    }
    by = divisor(quantile_between(pair.value, pair.above, rank.weight));
  } else if (counted > 0) {
    by = divisor(0.0F);
  }

  const Normaliser normaliser(by);
  Stretched all;
  if constexpr (kInShared) {
    all = stretch_image(
        block, n, normaliser, kept, [&](int q, const Quad& quad) { kept.put_four(q, quad); }, memory.scratch);
  } else {
    all = stretch_image(block, n, normaliser, global, [](int, const Quad&) {}, memory.scratch);
  }
  // Normalising preserves the order, so all pixels are equal if the lowest and the highest are.
  const bool blank = measured == 0 || normalise(loaded.lowest, by) == normalise(loaded.highest, by);
  if (call.facts != nullptr) {
    block.once([&] { call.facts[image] = {all.sum, by, measured, all.positive, blank ? 1 : 0}; });
  }
  if (call.out == nullptr) return;
  const auto resize = [&](auto&& x) {
    if constexpr (kPublished) {
      resize_image(block, call, x, memory.taps, measured == n, image * (with_mask ? 2 : 1) * kInputSize * kInputSize);
    } else {
      resize_any(block, call, x, image * call.id.values());
    }
  };
  if constexpr (kInShared) {
    resize([&](int i) { return kept.at(i); });
  } else {
    resize([&](int i) {
      const float raw = global.at(i);
      return raw == raw ? normaliser.at(raw) : raw;
    });
  }
}

}  // namespace imn::preprocess
