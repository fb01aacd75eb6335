// Copies file values into memory that a device reads next. Stores bypass the caches, so that no line is fetched only to
// be overwritten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace imn {

// n values of T (float, double), `from` at any address. Returns false if one of them is NaN or infinite. Another
// thread may read `to` once this one has called finish_streams(). `bits`: width of a store, one of stream_widths(); 0:
// the widest.
template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to, int bits = 0);

// Widths that this processor supports, ascending; empty if values are copied one by one.
std::vector<int> stream_widths();

void finish_streams();

// Prefetches bytes that are read soon, because the processor's read-ahead restarts at every array of a file. Any
// address is allowed. After kMostPrefetched bytes the read-ahead has caught up.
inline constexpr std::int64_t kMostPrefetched = 16384;
void prefetch(const std::byte* from, std::int64_t bytes);

}  // namespace imn
