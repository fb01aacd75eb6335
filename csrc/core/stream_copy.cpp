#include "core/stream_copy.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

// SSE2 is part of every x86-64 processor.
#if defined(__SSE2__) || defined(_M_X64)
#define IMN_STREAMS
#include <emmintrin.h>
#endif

namespace imn {
namespace {

template <typename T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// All bits of the exponent: set in NaN and infinities.
template <typename T>
constexpr Bits<T> kExponent = sizeof(T) == 4 ? Bits<T>{0x7F800000U} : static_cast<Bits<T>>(0x7FF0000000000000ULL);

template <typename T>
bool copy_some(const std::byte* from, std::int64_t n, T* to) {
  bool finite = true;
  for (std::int64_t i = 0; i < n; ++i) {
    Bits<T> bits;
    std::memcpy(&bits, from + i * std::int64_t{sizeof(T)}, sizeof(T));
    finite &= (bits & kExponent<T>) != kExponent<T>;
    to[i] = std::bit_cast<T>(bits);
  }
  return finite;
}

}  // namespace

#ifdef IMN_STREAMS

template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64 / sizeof(T));
  const std::int64_t head = std::min(n, (kLine - beyond) % kLine);
  bool finite = copy_some(from, head, to);

  // For doubles, the lower half of a value holds nothing of the exponent and counts as equal.
  const __m128i exponent = sizeof(T) == 4 ? _mm_set1_epi32(0x7F800000) : _mm_set_epi32(0x7FF00000, 0, 0x7FF00000, 0);
  __m128i bad = _mm_setzero_si128();
  const auto check = [&](__m128i values) {
    bad = _mm_or_si128(bad, _mm_cmpeq_epi32(_mm_and_si128(values, exponent), exponent));
  };
  std::int64_t i = head;
  for (; i + kLine <= n; i += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(from + i * std::int64_t{sizeof(T)});
    auto* target = reinterpret_cast<__m128i*>(to + i);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
    check(a);
    check(b);
    check(c);
    check(d);
  }
  finite &= _mm_movemask_epi8(_mm_and_si128(bad, exponent)) == 0;
  return copy_some(from + i * std::int64_t{sizeof(T)}, n - i, to + i) && finite;
}

void finish_streams() { _mm_sfence(); }

void prefetch(const std::byte* from, std::int64_t bytes) {
  for (std::int64_t at = 0; at < std::min(bytes, kMostPrefetched); at += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + at), _MM_HINT_T1);
  }
}

#else

template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to) {
  return copy_some(from, n, to);
}

void finish_streams() {}

void prefetch(const std::byte*, std::int64_t) {}

#endif

template bool stream_copy<float>(const std::byte*, std::int64_t, float*);
template bool stream_copy<double>(const std::byte*, std::int64_t, double*);

}  // namespace imn
