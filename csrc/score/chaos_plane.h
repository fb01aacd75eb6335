// Spatial chaos on a device: the levels of an image, four per word. See core/cuda/block.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"

namespace imn::score {

struct ChaosMemory {  // in shared memory, followed by the planes if they fit
  std::int64_t sum_scratch[cuda::kScratch];
  std::int32_t trees;
  std::int32_t more[2];        // whether edges remained, for the last two rounds
  std::int32_t columns[1024];  // edges of each thread, see Note [trees joined in rounds]
};
inline constexpr std::size_t kChaosMemoryBytes = (sizeof(ChaosMemory) + 15) / 16 * 16;

// Each row consists of whole words of four cells. The last cell of a row is never measured, nor is the row above or
// below the image, so every pixel has four neighbours. One more word precedes and follows the rows.
struct ChaosPlane {
  int height, width;

  IMN_HOST_DEVICE int row_words() const { return width / 4 + 1; }
  IMN_HOST_DEVICE int stride() const { return 4 * row_words(); }
  IMN_HOST_DEVICE int words() const { return (height + 2) * row_words(); }
  IMN_HOST_DEVICE int cells() const { return 4 * words(); }
  // All words except those of the rows above and below.
  IMN_HOST_DEVICE int inner_words() const { return height * row_words(); }
  // Ends of trees are never neighbours.
  IMN_HOST_DEVICE int most_trees() const { return cells() / 2; }
  IMN_HOST_DEVICE std::size_t level_bytes() const { return (static_cast<std::size_t>(cells()) + 2 * 4 + 15) / 16 * 16; }
};

template <typename Label>
struct ChaosPlanes {
  std::uint32_t* levels;  // words; levels[-1] is valid
  Label* labels;          // holds the dilated levels first, as words
};

// A word holds four levels below 128.
inline constexpr std::uint32_t kHighBits = 0x80808080U;
inline constexpr std::uint32_t kNotInside = 0x80;  // level of a cell that is not measured: 0 with the high bit set
inline constexpr std::uint32_t kPassedOver = 127;  // dilated level of a cell that is not measured

// Sets the high bit of each level where a >= b.
IMN_HOST_DEVICE inline std::uint32_t at_least(std::uint32_t a, std::uint32_t b) {
  return ((a | kHighBits) - b) & kHighBits;
}
// Sets all bits of each level whose high bit is set.
IMN_HOST_DEVICE inline std::uint32_t spread(std::uint32_t high) { return high | (high - (high >> 7U)); }
IMN_HOST_DEVICE inline std::uint32_t higher(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t first = spread(at_least(a, b));
  return (a & first) | (b & ~first);
}
IMN_HOST_DEVICE inline std::uint32_t lower(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t first = spread(at_least(a, b));
  return (b & first) | (a & ~first);
}
// Returns the left neighbours of a word's pixels, given the preceding word; to_right() returns the right ones.
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
