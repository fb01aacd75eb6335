// Exact selection by a thread block: the count-th largest of an image's pixels, and the next larger one.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/float_bits.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"

namespace imn::preprocess {

// Note [radix select]: order-preserving keys are looked at from the top, 11, 11 and 10 bits at a time. A histogram of
// the digit, counted from above, tells which digit the wanted value has and how many values lie above all of that
// digit; only pixels that have the digits found so far count in the next histogram. Counts are integers and the order
// in which they are made does not show, so the value is exact and the same on every run.
inline constexpr int kBins = 2048;
inline constexpr int kFew = 128;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct SelectMemory {  // shared
  std::int32_t bins[kBins];
  std::int32_t scan[33];
  std::int32_t bin;
  std::int32_t before;
  std::int32_t listed;  // pixels of the list, see Note [the few at the top]
  std::int32_t n_few;   // of one bin of the list
  std::uint32_t few[kFew];
  std::uint32_t value, above;  // keys of the result
};

// The digits of `key` from the top down to bit `low` are its prefix.
struct Digit {
  int low;
  int bits;
};

IMN_HOST_DEVICE inline Digit digit_of_pass(int pass) {
  return pass == 0 ? Digit{21, 11} : (pass == 1 ? Digit{10, 11} : Digit{0, 10});
}

// The largest digit has bin 0.
IMN_HOST_DEVICE inline int bin_of(std::uint32_t key, Digit digit) {
  const std::uint32_t last = (1U << digit.bits) - 1U;
  return static_cast<int>(last - ((key >> digit.low) & last));
}

template <typename Block>
IMN_DEVICE_CODE void clear_bins(Block& block, SelectMemory& memory) {
  block.for_each(kBins, [&](int i) { memory.bins[i] = 0; });
}

// Counts the measured pixels of a quad that have `prefix` above the digit; returns how many are measured.
template <typename Block>
IMN_DEVICE_CODE int count_quad(Block& block, const Quad& quad, std::uint32_t prefix, Digit digit,
                               SelectMemory& memory) {
  int measured = 0;
  for (const float x : quad.x) {
    if (x != x) continue;
    ++measured;
    const std::uint32_t key = order_key(x);
    // A shift by 32 is not defined: the first digit has nothing above it.
    if (digit.low + digit.bits == 32 || key >> (digit.low + digit.bits) == prefix) {
      block.add(&memory.bins[bin_of(key, digit)], std::int32_t{1});
    }
  }
  return measured;
}

// The bin that holds the `wanted`-th value from the top goes to memory.bin, how many come before it to memory.before;
// the bins are then sums. Returns how many values there are; with fewer than `wanted` nothing is found.
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

// Two values that follow each other in the order of an image's pixels.
struct Neighbours {
  float value;
  float above;
};

// The count-th largest of the image's measured pixels and `zeros` times 0, and the next larger one (itself where
// count == 1). The histogram of the first digit, of the pixels alone, is in memory.bins already.
template <typename Block, typename Image>
IMN_DEVICE_CODE Neighbours select_from_top(Block& block, const Image& image, std::int32_t count, std::int32_t zeros,
                                           SelectMemory& memory) {
  const std::uint32_t zero = order_key(0.0F);
  std::uint32_t prefix = 0;
  std::int32_t wanted = count;  // among the pixels that have the prefix, from the top
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
    block.sync();  // all have read what the next pass writes
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

// Note [the few at the top]: the quantile lies among the largest hundredth of the pixels. A sample of the image,
// counted while it is read, tells above which value they lie, with room to spare; one pass lists the pixels above it
// and counts them in bins that divide the keys up to the highest evenly. The pixels of one bin are few: they are
// compared with each other. Where they are not, the selection runs on the list; where the list is too short or too
// long, on all pixels: the result is exact either way, whatever the sample was. Most pixels of sparse images are 0:
// then the list has the positive ones, and the zeros are counted.
inline constexpr int kSampleStep = 4;  // quads; one pixel of each

template <typename Block>
IMN_DEVICE_CODE void count_sample(Block& block, int q, const Quad& quad, SelectMemory& memory) {
  const float x = quad.x[0];
  if (q % kSampleStep == 0 && x == x) block.add(&memory.bins[bin_of(order_key(x), digit_of_pass(0))], std::int32_t{1});
}

// How many of a list of `n` pixels there is room for.
IMN_HOST_DEVICE inline int list_capacity(std::int64_t n) {
  return static_cast<int>((n < 49152 ? n : 49152) / 12 + 15) / 16 * 16;
}

// Pixels in shared memory, filled up with NaN to whole quads.
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

// Keys from `lowest` to `highest` in bins, the highest first.
class EvenBins {
 public:
  IMN_HOST_DEVICE EvenBins(std::uint32_t lowest, std::uint32_t highest) : highest_(highest) {
    constexpr int kBits = 11;
    static_assert(kBins == 1 << kBits);
    const std::uint32_t span = highest > lowest ? highest - lowest : 0;
    const int width = static_cast<int>(float_bits(static_cast<float>(span)) >> 23U) - 126;  // in bits, or one more
    shift_ = width > kBits ? width - kBits : 0;
  }
  IMN_HOST_DEVICE int of(std::uint32_t key) const { return static_cast<int>((highest_ - key) >> shift_); }

 private:
  std::uint32_t highest_;
  int shift_;
};

// What is wanted of an image: the count-th largest of its measured pixels and `zeros` times 0.
struct Wanted {
  std::int32_t measured;
  std::int32_t count;
  std::int32_t zeros;
  std::int32_t measured_zeros;
  float highest;
};

// The count-th largest of a list of n pixels that memory.bins has counted, and the next larger one; false: too many are
// in the same bin.
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

// As select_from_top(), with the sample in memory.bins; list: of list_capacity() pixels.
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
    // The sums in the bins are not needed any more, the bin is.
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
  block.sync();  // all have read what is counted now
  count_first_digits(block, image, memory);
  return select_from_top(block, image, count, of.zeros, memory);
}

}  // namespace imn::preprocess
