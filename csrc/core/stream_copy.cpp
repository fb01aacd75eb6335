#include "core/stream_copy.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

// SSE2 is part of every x86-64 processor.
#if defined(__SSE2__) || defined(_M_X64)
#define IMN_STREAMS
#if defined(__GNUC__)
#define IMN_WIDE_STREAMS
#endif
#include <immintrin.h>
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
namespace {

// Each copies whole lines of 64 bytes to an address that is a multiple of that, and returns whether all values are
// finite. The wider the store, the fewer lines leave the processor in parts.
using Lines = bool (*)(const std::byte* from, std::int64_t lines, std::byte* to);

template <typename T>
bool lines_128(const std::byte* from, std::int64_t lines, std::byte* to) {
  // The lower half of a double contains no bit of the exponent, so it counts as equal.
  const __m128i exponent = sizeof(T) == 4 ? _mm_set1_epi32(0x7F800000) : _mm_set_epi32(0x7FF00000, 0, 0x7FF00000, 0);
  __m128i bad = _mm_setzero_si128();
  const auto check = [&](__m128i values) {
    bad = _mm_or_si128(bad, _mm_cmpeq_epi32(_mm_and_si128(values, exponent), exponent));
  };
  for (std::int64_t i = 0; i < lines; ++i) {
    const auto* source = reinterpret_cast<const __m128i*>(from + i * 64);
    auto* target = reinterpret_cast<__m128i*>(to + i * 64);
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
  return _mm_movemask_epi8(_mm_and_si128(bad, exponent)) == 0;
}

#ifdef IMN_WIDE_STREAMS

template <typename T>
__attribute__((target("avx2"))) bool lines_256(const std::byte* from, std::int64_t lines, std::byte* to) {
  const __m256i exponent = sizeof(T) == 4 ? _mm256_set1_epi32(0x7F800000) : _mm256_set1_epi64x(0x7FF0000000000000LL);
  __m256i bad = _mm256_setzero_si256();
  for (std::int64_t i = 0; i < lines; ++i) {
    const auto* source = reinterpret_cast<const __m256i*>(from + i * 64);
    auto* target = reinterpret_cast<__m256i*>(to + i * 64);
    const __m256i a = _mm256_loadu_si256(source);
    const __m256i b = _mm256_loadu_si256(source + 1);
    _mm256_stream_si256(target, a);
    _mm256_stream_si256(target + 1, b);
    bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_and_si256(a, exponent), exponent));
    bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_and_si256(b, exponent), exponent));
  }
  return _mm256_testz_si256(bad, exponent) != 0;
}

template <typename T>
__attribute__((target("avx512f"))) bool lines_512(const std::byte* from, std::int64_t lines, std::byte* to) {
  const __m512i exponent = sizeof(T) == 4 ? _mm512_set1_epi32(0x7F800000) : _mm512_set1_epi64(0x7FF0000000000000LL);
  unsigned bad = 0;
  for (std::int64_t i = 0; i < lines; ++i) {
    const __m512i a = _mm512_loadu_si512(from + i * 64);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i * 64), a);
    const __m512i high = _mm512_and_si512(a, exponent);
    if constexpr (sizeof(T) == 4) {
      bad |= _mm512_cmpeq_epi32_mask(high, exponent);
    } else {
      bad |= _mm512_cmpeq_epi64_mask(high, exponent);
    }
  }
  return bad == 0;
}

#endif

// bits: one of stream_widths().
template <typename T>
Lines lines_of([[maybe_unused]] int bits) {
#ifdef IMN_WIDE_STREAMS
  if (bits == 512) return lines_512<T>;
  if (bits == 256) return lines_256<T>;
#endif
  return lines_128<T>;
}

}  // namespace

std::vector<int> stream_widths() {
  std::vector<int> bits{128};
#ifdef IMN_WIDE_STREAMS
  if (__builtin_cpu_supports("avx2")) bits.push_back(256);
  if (__builtin_cpu_supports("avx512f")) bits.push_back(512);
#endif
  return bits;
}

template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to, int bits) {
  static const Lines kWidest = lines_of<T>(stream_widths().back());
  const Lines copy_lines = bits == 0 ? kWidest : lines_of<T>(bits);
  constexpr std::int64_t kLine = 64 / sizeof(T);
  const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64 / sizeof(T));
  const std::int64_t head = std::min(n, (kLine - beyond) % kLine);
  bool finite = copy_some(from, head, to);
  const std::int64_t lines = (n - head) / kLine;
  const std::int64_t tail = head + lines * kLine;
  finite &= copy_lines(from + head * std::int64_t{sizeof(T)}, lines, reinterpret_cast<std::byte*>(to + head));
  return copy_some(from + tail * std::int64_t{sizeof(T)}, n - tail, to + tail) && finite;
}

void finish_streams() { _mm_sfence(); }

void prefetch(const std::byte* from, std::int64_t bytes) {
  for (std::int64_t at = 0; at < std::min(bytes, kMostPrefetched); at += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + at), _MM_HINT_T1);
  }
}

#else

std::vector<int> stream_widths() { return {}; }

template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to, int) {
  return copy_some(from, n, to);
}

void finish_streams() {}

void prefetch(const std::byte*, std::int64_t) {}

#endif

template bool stream_copy<float>(const std::byte*, std::int64_t, float*, int);
template bool stream_copy<double>(const std::byte*, std::int64_t, double*, int);

}  // namespace imn
