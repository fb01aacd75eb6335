// Exact selection by a thread block: the count-th largest of an image's pixels, and the next larger one.
#pragma once

#include <cstdint>

#include "core/float_bits.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"

namespace imn::preprocess {

// Note [radix select]: order-preserving keys are looked at from the top, 11, 11 and 10 bits at a time. A histogram of
// the digit, counted from above, tells which digit the wanted value has and how many values lie above all of that
// digit; only pixels that have the digits found so far count in the next histogram. Counts are integers and the order
// in which they are made does not show, so the value is exact and the same on every run.
inline constexpr int kBins = 2048;

struct SelectMemory {  // shared
  std::int32_t bins[kBins];
  std::int32_t scan[33];
  std::int32_t bin;
  std::int32_t before;
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
    const std::int32_t all = block.exclusive_scan(memory.bins, n_bins, memory.scan);
    block.for_each(n_bins, [&](int i) {
      const std::int32_t next = i + 1 < n_bins ? memory.bins[i + 1] : all;
      if (memory.bins[i] < wanted && wanted <= next) {
        memory.bin = i;
        memory.before = memory.bins[i];
      }
    });
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

}  // namespace imn::preprocess
