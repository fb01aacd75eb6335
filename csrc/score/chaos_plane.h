// Levels of an image for the measure of spatial chaos on a device, four in a word. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"

namespace imn::score {

struct ChaosMemory {  // shared; the planes follow where they fit
  std::int64_t sum_scratch[cuda::kScratch];
  std::int32_t trees;
  std::int32_t more[2];        // whether a round left edges, the last two
  std::int32_t columns[1024];  // edges that a thread has, see Note [trees joined in rounds]
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
  // All but the rows above and below.
  IMN_HOST_DEVICE int inner_words() const { return height * row_words(); }
  // Trees are no neighbours of each other.
  IMN_HOST_DEVICE int most_trees() const { return cells() / 2; }
  IMN_HOST_DEVICE std::size_t level_bytes() const { return (static_cast<std::size_t>(cells()) + 2 * 4 + 15) / 16 * 16; }
};

template <typename Label>
struct ChaosPlanes {
  std::uint32_t* levels;  // of words; levels[-1] is there
  Label* labels;          // first the dilated levels, as words
};

// Four levels at a time, below 128.
inline constexpr std::uint32_t kHighBits = 0x80808080U;
inline constexpr std::uint32_t kNotInside = 0x80;  // level of what is not measured: 0, and a mark
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

}  // namespace imn::score
