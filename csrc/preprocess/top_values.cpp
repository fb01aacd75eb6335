#include "preprocess/top_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/multiversion.h"

namespace imn::preprocess {
namespace {

constexpr std::int64_t kSample = 1024;
constexpr std::int64_t kRun = 512;

struct Above {
  std::int64_t greater = 0;  // values > bound; all of them were kept unless they exceed the room
  std::int64_t equal = 0;
};

// Copies every value > bound to `kept`, without branching on the data. Stops if fewer than kRun places are left.
IMN_MULTIVERSION Above keep_above(const PixelSource& source, std::int64_t n, float bound, float* __restrict kept,
                                  std::int64_t room) {
  std::array<float, kRun> run;
  Above found;
  for (std::int64_t begin = 0; begin < n && found.greater + kRun <= room; begin += kRun) {
    const std::int64_t size = std::min(kRun, n - begin);
    clean_row(source, begin, size, run.data());
    std::int32_t equal = 0;
    for (std::int64_t i = 0; i < size; ++i) equal += run[static_cast<std::size_t>(i)] == bound ? 1 : 0;
    found.equal += equal;
    float* end = kept + found.greater;
    for (std::int64_t i = 0; i < size; ++i) {
      const float x = run[static_cast<std::size_t>(i)];
      *end = x;
      end += x > bound ? 1 : 0;
    }
    found.greater = end - kept;
  }
  return found;
}

// Returns the count-th largest of [begin, end) and the next larger value; reorders the values.
TopPair select(float* begin, float* end, std::int64_t count) {
  float* nth = begin + (count - 1);
  std::nth_element(begin, nth, end, std::greater<>());
  return {*nth, count > 1 ? *std::min_element(begin, nth) : *nth};
}

TopPair select_from_all(const PixelSource& source, std::int64_t n, std::int64_t count, TopScratch& scratch) {
  scratch.everything.resize(static_cast<std::size_t>(n));
  clean_row(source, 0, n, scratch.everything.data());
  return select(scratch.everything.data(), scratch.everything.data() + n, count);
}

// Returns a value that at least `count` of the n values very probably reach, with a margin of 4.5 standard deviations.
float lower_bound_of_top(const PixelSource& source, std::int64_t n, std::int64_t count, TopScratch& scratch) {
  scratch.sample.resize(kSample);
  // Multiples of the golden ratio spread evenly over the image and never align with its width.
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;
  std::uint64_t position = kGolden;
  for (float& x : scratch.sample) {
    position += kGolden;
    const auto i = static_cast<std::int64_t>(static_cast<double>(position >> 11) * 0x1p-53 * static_cast<double>(n));
    x = clean(source, std::min(i, n - 1));
  }
  const double expected = static_cast<double>(kSample) * static_cast<double>(count) / static_cast<double>(n);
  const auto rank = static_cast<std::ptrdiff_t>(expected + 4.5 * std::sqrt(expected) + 3.0);
  const auto nth = scratch.sample.begin() + std::min<std::ptrdiff_t>(rank, kSample - 1);
  std::nth_element(scratch.sample.begin(), nth, scratch.sample.end(), std::greater<>());
  return *nth;
}

}  // namespace

TopPair top_pair(const PixelSource& source, std::int64_t n, std::int64_t count, TopScratch& scratch) {
  if (n <= 2 * kSample) return select_from_all(source, n, count, scratch);
  const float bound = lower_bound_of_top(source, n, count, scratch);
  const std::int64_t room = std::min(n, n / 8 + 2 * count) + kRun;
  scratch.survivors.resize(static_cast<std::size_t>(room));
  const Above above = keep_above(source, n, bound, scratch.survivors.data(), room);
  if (above.greater + kRun > room) return select_from_all(source, n, count, scratch);
  float* const kept = scratch.survivors.data();
  if (count <= above.greater) return select(kept, kept + above.greater, count);
  if (count > above.greater + above.equal) return select_from_all(source, n, count, scratch);
  const bool next_is_greater = count == above.greater + 1 && above.greater > 0;
  return {bound, next_is_greater ? *std::min_element(kept, kept + above.greater) : bound};
}

}  // namespace imn::preprocess
