// Copies of file values into memory that a device reads next: written past this processor's caches, so that no line is
// fetched only to be overwritten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace imn {

// n values of T (float, double), `from` at any address. False where one of them is NaN or infinite. Another thread may
// read `to` once this one has called finish_streams(). `bits`: of a store, one of stream_widths(); 0: the widest.
template <typename T>
bool stream_copy(const std::byte* from, std::int64_t n, T* to, int bits = 0);

// What this processor has, ascending; empty where values are copied one by one.
std::vector<int> stream_widths();

void finish_streams();

// Asks for bytes that are read soon: a processor's own read-ahead starts anew at every piece of a file. Any address
// will do. Beyond kMostPrefetched bytes it has caught up.
inline constexpr std::int64_t kMostPrefetched = 16384;
void prefetch(const std::byte* from, std::int64_t bytes);

}  // namespace imn
