// Exact selection by a thread block: finds the count-th largest pixel of an image and the next larger one.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/float_bits.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"

namespace imn::preprocess {

// Note [radix select]: order-preserving keys are examined from the top, 11, 11 and 10 bits at a time. A histogram of
// the digit, summed from above, shows which digit the wanted value has and how many values have a larger one; the next
// histogram counts only pixels that have all digits found so far. The counts are integers and do not depend on the
// order of counting, so the value is exact and the same on every run.
inline constexpr int kBins = 2048;
inline constexpr int kFew = 128;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct SelectMemory {  // in shared memory
  std::int32_t bins[kBins];
  std::int32_t scan[33];
  std::int32_t bin;
  std::int32_t before;
  std::int32_t listed;  // pixels in the list, see Note [the few at the top]
  std::int32_t n_few;   // pixels in the wanted bin of the list
  std::uint32_t few[kFew];
  std::uint32_t value, above;  // keys of the result
};

// One digit of a key: `bits` bits from bit `low` up. The digits above it are its prefix.
struct Digit {
  int low;
  int bits;
};

IMN_HOST_DEVICE inline Digit digit_of_pass(int pass) {
  return pass == 0 ? Digit{21, 11} : (pass == 1 ? Digit{10, 11} : Digit{0, 10});
}

// Returns the bin of a digit; bin 0 belongs to the largest digit.
IMN_HOST_DEVICE inline int bin_of(std::uint32_t key, Digit digit) {
  const std::uint32_t last = (1U << digit.bits) - 1U;
  return static_cast<int>(last - ((key >> digit.low) & last));
}

template <typename Block>
IMN_DEVICE_CODE void clear_bins(Block& block, SelectMemory& memory) {
  block.for_each(kBins, [&](int i) { memory.bins[i] = 0; });
}

// Counts the measured pixels of a quad whose digits above `digit` are `prefix`; returns how many pixels are measured.
template <typename Block>
IMN_DEVICE_CODE int count_quad(Block& block, const Quad& quad, std::uint32_t prefix, Digit digit,
                               SelectMemory& memory) {
  int measured = 0;
  for (const float x : quad.x) {
    if (x != x) continue;
    ++measured;
    const std::uint32_t key = order_key(x);
    // A shift by 32 is undefined. The first digit has no prefix.
    if (digit.low + digit.bits == 32 || key >> (digit.low + digit.bits) == prefix) {
      block.add(&memory.bins[bin_of(key, digit)], std::int32_t{1});
    }
  }
  return measured;
}

// Stores the bin of the `wanted`-th value from the top in memory.bin, and the number of values in preceding bins in
// memory.before; replaces the bins with their exclusive sums. Returns the number of all values; stores nothing if there
// are fewer than `wanted`.
template <typename Block>
IMN_DEVICE_CODE std::int32_t find_bin(Block& block, int n_bins, std::int32_t wanted, SelectMemory& memory) {
  const std::int32_t all = block.exclusive_scan(memory.bins, n_bins, memory.scan);
  block.for_each(n_bins, [&](int i) {
    const std::int32_t next = i + 1 < n_bins ? memory.bins[i + 1] : all;
    if (memory.bins[i] < wanted && wanted <= next) {
      memory.bin = i;
      memory.before = memory.bins[i];
    }
  });
  return all;
}

// Two consecutive values in the sorted order of an image's pixels.
struct Neighbours {
  float value;
  float above;
};

// Returns the count-th largest of the measured pixels and `zeros` additional zeros, and the next larger one (the same
// value if count == 1). memory.bins must hold the histogram of the first digit of the pixels, without the zeros.
template <typename Block, typename Image>
IMN_DEVICE_CODE Neighbours select_from_top(Block& block, const Image& image, std::int32_t count, std::int32_t zeros,
                                           SelectMemory& memory) {
  const std::uint32_t zero = order_key(0.0F);
  std::uint32_t prefix = 0;
  std::int32_t wanted = count;  // rank from the top among the pixels with the prefix
  for (int pass = 0; pass < 3; ++pass) {
    const Digit digit = digit_of_pass(pass);
    if (pass > 0) {
      clear_bins(block, memory);
      image.reduce_quads(
          block, 0, [&](int, const Quad& quad) { return count_quad(block, quad, prefix, digit, memory), 0; },
          [](int a, int b) { return a + b; }, memory.scan);
    }
    if (zeros > 0 && (pass == 0 || zero >> (digit.low + digit.bits) == prefix)) {
      block.once([&] { memory.bins[bin_of(zero, digit)] += zeros; });
    }
    const int n_bins = 1 << digit.bits;
    find_bin(block, n_bins, wanted, memory);
    prefix = (prefix << digit.bits) | static_cast<std::uint32_t>(n_bins - 1 - memory.bin);
    wanted -= memory.before;
    block.sync();  // wait until all have read what the next pass overwrites
  }
  const float value = key_value(prefix);
  if (count == 1 || wanted > 1) return {value, value};  // the next one is equal
  const auto lower = [](std::uint32_t a, std::uint32_t b) { return a < b ? a : b; };
  const std::uint32_t key = prefix;
  const std::uint32_t above = image.reduce_quads(
      block, zeros > 0 && zero > key ? zero : ~0U,
      [&](int, const Quad& quad) {
        std::uint32_t lowest = ~0U;
        for (const float x : quad.x) {
          const std::uint32_t other = order_key(x);
          if (x == x && other > key) lowest = lower(lowest, other);
        }
        return lowest;
      },
      lower, reinterpret_cast<std::uint32_t*>(memory.scan));
  return {value, key_value(above)};
}

// Note [the few at the top]: the quantile lies among the largest hundredth of the pixels. A sample, counted while the
// image is read, yields a value that they exceed, with some margin. One pass lists the pixels above this value and
// counts them in bins that divide the range of keys evenly. The wanted bin holds few pixels, which are compared with
// each other. If it holds too many, the selection runs on the list; if the list is too short or too long, it runs on
// all pixels. The result is exact in all cases, whatever the sample. Most pixels of sparse images are 0: the list then
// holds the positive ones, and the zeros are only counted.
inline constexpr int kSampleStep = 4;  // samples one pixel of every fourth quad

template <typename Block>
IMN_DEVICE_CODE void count_sample(Block& block, int q, const Quad& quad, SelectMemory& memory) {
  const float x = quad.x[0];
  if (q % kSampleStep == 0 && x == x) block.add(&memory.bins[bin_of(order_key(x), digit_of_pass(0))], std::int32_t{1});
}

// Capacity of the list for an image of `n` pixels.
IMN_HOST_DEVICE inline int list_capacity(std::int64_t n) {
  return static_cast<int>((n < 49152 ? n : 49152) / 12 + 15) / 16 * 16;
}

// A list of pixels in shared memory, padded with NaN to whole quads.
class PixelList {
 public:
  IMN_HOST_DEVICE PixelList(const Quad* quads, int n) : quads_(quads), n_quads_((n + 3) / 4) {}

  template <typename Block, typename T, typename Item, typename Op>
  IMN_DEVICE_CODE T reduce_quads(Block& block, T identity, Item&& item, Op&& op, T* scratch) const {
    return block.reduce(n_quads_, identity, [&](int q) { return item(q, quads_[q]); }, op, scratch);
  }

 private:
  const Quad* quads_;
  int n_quads_;
};

template <typename Block, typename Image>
IMN_DEVICE_CODE void count_first_digits(Block& block, const Image& image, SelectMemory& memory) {
  clear_bins(block, memory);
  image.reduce_quads(
      block, 0, [&](int, const Quad& quad) { return count_quad(block, quad, 0, digit_of_pass(0), memory), 0; },
      [](int a, int b) { return a + b; }, memory.scan);
}

// Divides the keys from `lowest` to `highest` evenly into bins; bin 0 holds the highest.
class EvenBins {
 public:
  IMN_HOST_DEVICE EvenBins(std::uint32_t lowest, std::uint32_t highest) : highest_(highest) {
    constexpr int kBits = 11;
    static_assert(kBins == 1 << kBits);
    const std::uint32_t span = highest > lowest ? highest - lowest : 0;
    const int width = static_cast<int>(float_bits(static_cast<float>(span)) >> 23U) - 126;  // bits, or one more
    shift_ = width > kBits ? width - kBits : 0;
  }
  IMN_HOST_DEVICE int of(std::uint32_t key) const { return static_cast<int>((highest_ - key) >> shift_); }

 private:
  std::uint32_t highest_;
  int shift_;
};

// Describes the selection: the count-th largest of the measured pixels of an image and `zeros` additional zeros.
struct Wanted {
  std::int32_t measured;
  std::int32_t count;
  std::int32_t zeros;
  std::int32_t measured_zeros;
  float highest;
};

// Finds the count-th largest of a list of n pixels, already counted in memory.bins, and the next larger one. Returns
// false if too many pixels are in the same bin.
template <typename Block>
IMN_DEVICE_CODE bool select_from_bins(Block& block, const float* listed, int n, std::int32_t count,
                                      const EvenBins& bins, Neighbours& result, SelectMemory& memory) {
  find_bin(block, kBins, count, memory);
  const int bin = memory.bin;
  const std::int32_t wanted = count - memory.before;
  const std::uint32_t above = block.reduce(
      n, ~0U,
      [&](int i) {
        const std::uint32_t key = order_key(listed[i]);
        const int own = bins.of(key);
        if (own == bin) {
          const std::int32_t at = block.add(&memory.n_few, std::int32_t{1});
          if (at < kFew) memory.few[at] = key;
        }
        return own < bin ? key : ~0U;
      },
      [](std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }, reinterpret_cast<std::uint32_t*>(memory.scan));
  const int few = memory.n_few;
  if (few > kFew) return false;
  block.for_each(few, [&](int i) {
    const std::uint32_t key = memory.few[i];
    int rank = 1;
    for (int k = 0; k < few; ++k) rank += memory.few[k] > key || (memory.few[k] == key && k < i) ? 1 : 0;
    if (rank == wanted) memory.value = key;
    if (rank == wanted - 1) memory.above = key;
  });
  result.value = key_value(memory.value);
  result.above = wanted > 1 ? key_value(memory.above) : (count == 1 ? result.value : key_value(above));
  return true;
}

// Like select_from_top(), but memory.bins holds the sample. `list` has room for list_capacity() pixels.
template <typename Block, typename Image>
IMN_DEVICE_CODE Neighbours select_by_sample(Block& block, const Image& image, const Wanted& of, Quad* list,
                                            int capacity, SelectMemory& memory) {
  constexpr float kSpare = 4.0F;  // standard deviations, and pixels
  const std::uint32_t zero = order_key(0.0F);
  const std::int32_t count = of.count;
  const std::int32_t sampled = (of.measured + 4 * kSampleStep - 1) / (4 * kSampleStep);
  const float expected = static_cast<float>(sampled) * (static_cast<float>(count) / static_cast<float>(of.measured));
  const auto wanted = static_cast<std::int32_t>(expected + kSpare * sqrtf(expected) + kSpare);
  block.once([&] {
    memory.bin = kBins;
    memory.listed = 0;
    memory.n_few = 0;
  });
  find_bin(block, kBins, wanted, memory);
  const int bin = memory.bin;
  const int zero_bin = bin_of(zero, digit_of_pass(0));
  if (bin <= zero_bin) {
    const bool at_zero = bin == zero_bin;
    const std::uint32_t edge = at_zero ? zero + 1U : static_cast<std::uint32_t>(kBins - 1 - bin) << 21U;
    const float from = key_value(edge);
    const EvenBins bins(edge, order_key(of.highest));
    auto* listed = reinterpret_cast<float*>(list);
    // The sums in the bins are no longer needed; `bin` has been read.
    clear_bins(block, memory);
    image.for_each_quad(block, [&](const Quad& quad) {
      for (const float x : quad.x) {
        if (x >= from) {
          const std::int32_t at = block.add(&memory.listed, std::int32_t{1});
          if (at < capacity) listed[at] = x;
          block.add(&memory.bins[bins.of(order_key(x))], std::int32_t{1});
        }
      }
    });
    const std::int32_t n = memory.listed;
    if (n <= capacity) {
      const PixelList pixels(list, n);
      Neighbours result{};
      if (count <= n && select_from_bins(block, listed, n, count, bins, result, memory)) return result;
      block.for_each(3, [&](int k) {
        if (n % 4 != 0 && n % 4 + k < 4) listed[n + k] = kNotMeasured;
      });
      if (count <= n) {
        count_first_digits(block, pixels, memory);
        return select_from_top(block, pixels, count, 0, memory);
      }
      if (at_zero && count <= n + of.zeros + of.measured_zeros) {
        if (count != n + 1 || n == 0) return {0.0F, 0.0F};
        const float above = pixels.reduce_quads(
            block, kInfinity,
            [](int, const Quad& quad) {
              float lowest = kInfinity;
              for (const float x : quad.x) lowest = x < lowest ? x : lowest;
              return lowest;
            },
            [](float a, float b) { return a < b ? a : b; }, reinterpret_cast<float*>(memory.scan));
        return {0.0F, above};
      }
    }
  }
  block.sync();  // wait until all have read what is overwritten now
  count_first_digits(block, image, memory);
  return select_from_top(block, image, count, of.zeros, memory);
}

}  // namespace imn::preprocess
