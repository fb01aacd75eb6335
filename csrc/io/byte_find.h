// Finds the first of a few bytes: a memchr with several needles, tuned for short distances between XML delimiters.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

namespace imn::io {

// [p, end) -> first byte equal to one of `needles`, or end. Never reads outside the range.
template <typename... Needle>
inline const char* find_byte(const char* p, const char* end, Needle... needles) {
#if defined(__SSE2__) || defined(_M_X64)
  while (end - p >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    __m128i hit = _mm_setzero_si128();
    ((hit = _mm_or_si128(hit, _mm_cmpeq_epi8(block, _mm_set1_epi8(needles)))), ...);
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(hit));
    if (mask != 0) return p + std::countr_zero(mask);
    p += 16;
  }
#else
  // Eight bytes in a register: x - 1 borrows into the top bit of a zero byte (the lowest one is always right).
  if constexpr (std::endian::native == std::endian::little) {
    constexpr std::uint64_t kOnes = 0x0101010101010101U;
    constexpr std::uint64_t kTops = 0x8080808080808080U;
    while (end - p >= 8) {
      std::uint64_t block;
      std::memcpy(&block, p, sizeof block);
      auto zero_bytes = [&](char needle) {
        const std::uint64_t x = block ^ (kOnes * static_cast<unsigned char>(needle));
        return (x - kOnes) & ~x & kTops;
      };
      const std::uint64_t hit = (zero_bytes(needles) | ...);
      if (hit != 0) return p + std::countr_zero(hit) / 8;
      p += 8;
    }
  }
#endif
  while (p != end && ((*p != needles) && ...)) ++p;
  return p;
}

}  // namespace imn::io
