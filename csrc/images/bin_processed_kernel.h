// Body of the kernel that bins processed files, written as Note [Kernels without a device] in core/cuda/block.h
// describes.
//
// A thread block walks along the windows, group by group, for some pixels. The next peaks of each spectrum wait in a
// ring in shared memory, which is refilled in whole sectors as the walk proceeds; peaks in no window are skipped. A
// thread takes one pixel and a run of the group's windows. Each sum belongs to one thread, which adds from low to high
// m/z in float64 and rounds once, so that the result has the bits of bin_images, and neighbouring threads write
// neighbouring pixels. If a ring does not hold all peaks of a window, the group is binned from global memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cuda/block.h"
#include "core/cuda/pack.h"
#include "images/bin_launch.h"

namespace imn::images {

// Peaks: per ring. Groups: the most window groups per thread block; more groups mean fewer searches but also fewer
// thread blocks.
template <std::int32_t Threads, std::int32_t Blocks, std::int32_t Pixels, std::int32_t Peaks, std::int32_t Groups>
struct ProcessedCut : Cut<Threads, Blocks, Pixels> {
  static constexpr std::int32_t kPeaks = Peaks;
  static constexpr std::int32_t kGroups = Groups;
  // Rings begin and end at multiples of this many peaks, that is at whole sectors of 32 bytes.
  static constexpr std::int32_t kUnit = 8;
  static_assert((Peaks & (Peaks - 1)) == 0 && Peaks >= kUnit && (kUnit & (kUnit - 1)) == 0);
};

// The fastest of ten shapes tried on an H200.
using ProcessedShape = ProcessedCut<128, 8, 32, 64, 10>;

// Groups of the plan that a strip touches, and groups per thread block. For pixels with several spectra it is one
// group, whose sums wait for the next spectrum.
IMN_HOST_DEVICE inline std::int32_t groups_of(WindowStrip strip) {
  return strip.size() == 0 ? 0 : (strip.last - 1) / kWindowGroup - strip.first / kWindowGroup + 1;
}
template <typename Shape>
std::int32_t groups_of_block(WindowStrip strip, bool several) {
  const std::int32_t groups = groups_of(strip);
  if (several || groups == 0) return 1;
  return blocks_for(groups, blocks_for(groups, Shape::kGroups));
}

// Shared memory of a thread block.
template <typename Shape, typename M, typename T>
struct ProcessedShared {
  // Rows are one pack longer, so that threads reading the same position of several rows use different banks.
  static constexpr std::int32_t kMzPitch = Shape::kPeaks + cuda::Pack<M>::kSize;
  static constexpr std::int32_t kPitch = Shape::kPeaks + cuda::Pack<T>::kSize;
  struct alignas(16) Bounds {
    double lo, hi;
  };
  cuda::Pack<M> mz[Shape::kPixels * kMzPitch / cuda::Pack<M>::kSize];
  cuda::Pack<T> intensity[Shape::kPixels * kPitch / cuda::Pack<T>::kSize];
  Bounds window[kWindowGroup];
  double reach[kWindowGroup];
  std::int64_t base[Shape::kPixels];   // peaks of a spectrum are counted from here, a multiple of kUnit
  std::int64_t image[Shape::kPixels];  // the pixel's place in an image
  std::int32_t end[Shape::kPixels];    // end of the peaks that the block may need; -1: no spectrum
  std::int32_t at[2][Shape::kPixels];  // first peak that later windows may hold: now, and one turn earlier or later
  std::int32_t fit;                    // number of windows whose peaks the rings hold completely
};

template <typename Shape, typename M, typename T>
std::size_t processed_shared_bytes(bool several) {
  const std::size_t totals = several ? sizeof(double) * kWindowGroup * Shape::kPixels : 0;
  return sizeof(ProcessedShared<Shape, M, T>) + totals;
}

inline constexpr double kBelowAll = -std::numeric_limits<double>::infinity();
inline constexpr double kAboveAll = std::numeric_limits<double>::infinity();

// The first index in [begin, end) for which `before` is false; it is true for all lower ones.
template <typename Index, typename Before>
IMN_DEVICE_CODE Index first_not(Index begin, Index end, Before&& before) {
  while (begin < end) {
    const Index middle = begin + (end - begin) / 2;
    if (before(middle)) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

// The same with three loads in flight per round, which halves the rounds.
template <typename Before>
IMN_DEVICE_CODE std::int64_t first_not_in_memory(std::int64_t begin, std::int64_t end, Before&& before) {
  constexpr int kProbes = 3;
  while (end - begin > kProbes) {
    const std::int64_t step = (end - begin) / (kProbes + 1);
    int passed = 0;
    for (int k = 1; k <= kProbes; ++k) passed += before(begin + k * step) ? 1 : 0;
    if (passed < kProbes) end = begin + (passed + 1) * step;
    if (passed > 0) begin += passed * step + 1;
  }
  int passed = 0;
  for (int k = 0; k < kProbes; ++k) passed += begin + k < end && before(begin + k) ? 1 : 0;
  return begin + passed;
}

// Several: whether pixels may have several spectra. groups: groups_of_block().
template <typename Shape, bool Several, typename M, typename T, typename Block>
IMN_DEVICE_CODE void bin_processed_block(Block& block, const PlanView& plan, WindowStrip strip, std::int32_t groups,
                                         const LaunchChunks<PeaksView<M, T>>& chunks, const ImagesView& images,
                                         void* shared) {
  using Shared = ProcessedShared<Shape, M, T>;
  constexpr std::int32_t kPixels = Shape::kPixels;
  constexpr std::int32_t kPeaks = Shape::kPeaks;
  constexpr std::int32_t kMask = kPeaks - 1;
  constexpr std::int32_t kUnit = Shape::kUnit;
  constexpr std::int32_t kMzPack = cuda::Pack<M>::kSize;
  constexpr std::int32_t kPack = cuda::Pack<T>::kSize;
  const BlockPlace place = place_of<Shape>(chunks, block.x(), blocks_for(groups_of(strip), groups));
  const PixelView& pixels = chunks.pixels[place.chunk];
  const PeaksView<M, T>& peaks = chunks.data[place.chunk];
  const std::int32_t first_group = strip.first / kWindowGroup + place.windows * groups;
  const std::int32_t w0 = cuda::greater(first_group * kWindowGroup, strip.first);
  const std::int32_t w1 = cuda::lesser((first_group + groups) * kWindowGroup, strip.last);
  const std::int32_t p0 = place.pixel;
  Shared& own = *static_cast<Shared*>(shared);
  auto* const totals = reinterpret_cast<double*>(&own + 1);  // [window][pixel], of earlier spectra; only if Several

  double reach = kBelowAll;
  for (std::int32_t w = w1; w > w0; w = (w - 1) / kWindowGroup * kWindowGroup) {
    reach = cuda::greater(reach, plan.reach[w - 1]);
  }
  const std::int32_t layers = Several ? pixels.layers : 1;
  for (std::int32_t layer = 0; layer < layers; ++layer) {
    block.for_each(2 * kPixels, [&](std::int32_t i) {
      const std::int32_t p = i % kPixels;
      const bool ends = i >= kPixels;
      const std::int32_t row = row_of(pixels, p0 + p, layer);
      if (row < 0) {
        (ends ? own.end : own.at[0])[p] = ends ? -1 : 0;
        if (!ends) own.base[p] = 0;
        return;
      }
      const std::int64_t begin = peaks.row_start[row];
      const std::int64_t base = begin & -std::int64_t{kUnit};
      const double bound = ends ? reach : plan.lo[w0];
      const auto found = static_cast<std::int32_t>(first_not_in_memory(begin, peaks.row_start[row + 1],
                                                                       [&](std::int64_t k) {
                                                                         const auto mz =
                                                                             static_cast<double>(peaks.mz[k]);
                                                                         return mz < bound || (ends && mz == bound);
                                                                       }) -
                                                   base);
      (ends ? own.end : own.at[0])[p] = found;
      if (ends) return;
      own.base[p] = base;
      own.image[p] = pixels.index[p0 + p];
    });

    std::int32_t g0 = w0;
    for (std::int32_t turn = 0; g0 < w1; ++turn) {
      const std::int32_t left = cuda::lesser((g0 / kWindowGroup + 1) * kWindowGroup, w1) - g0;
      const std::int32_t* const now = own.at[turn % 2];
      std::int32_t* const other = own.at[(turn + 1) % 2];
      const auto ring_end = [](std::int32_t at) { return (at & -kUnit) + kPeaks; };

      // Neighbouring threads take neighbouring packs.
      block.for_each_unsynced(Shape::kThreads, [&](std::int32_t i) {
        constexpr std::int32_t kFetches = kPeaks / kPack;  // of the intensities of a ring
        constexpr std::int32_t kRounds = blocks_for(kPeaks / kMzPack, kFetches);
        static_assert(Shape::kThreads % kFetches == 0);
        const std::int32_t pack = i % kFetches;
        for (std::int32_t p = i / kFetches; p < kPixels; p += Shape::kThreads / kFetches) {
          const std::int32_t to = cuda::lesser(own.end[p], ring_end(now[p]));
          const std::int32_t begin = now[p] & -kUnit;
          const std::int32_t from = turn == 0 ? begin : cuda::greater(begin, ring_end(other[p]));
          const std::int32_t k = from + pack * kPack;
          const T* const values = peaks.intensity + own.base[p];
          if (k < to) block.fetch(own.intensity + p * (Shared::kPitch / kPack) + (k & kMask) / kPack, values + k);
          const M* const mz = peaks.mz + own.base[p];
          for (std::int32_t r = 0; r < kRounds; ++r) {
            const std::int32_t m = from + (pack + r * kFetches) * kMzPack;
            if (m < to) block.fetch(own.mz + p * (Shared::kMzPitch / kMzPack) + (m & kMask) / kMzPack, mz + m);
          }
        }
      });
      block.for_each_unsynced(left, [&](std::int32_t i) {
        own.window[i] = {plan.lo[g0 + i], plan.hi[g0 + i]};
        own.reach[i] = plan.reach[g0 + i];
        if (i == 0) own.fit = left;
      });
      block.await_fetched();

      // Windows that end before the last peak of a ring.
      block.for_each(kPixels, [&](std::int32_t p) {
        const std::int32_t to = ring_end(now[p]);
        if (to >= own.end[p]) return;
        const auto last = static_cast<double>(own.mz[0].values[p * Shared::kMzPitch + ((to - 1) & kMask)]);
        if (own.reach[left - 1] < last) return;
        block.minimum(&own.fit, first_not(std::int32_t{0}, left, [&](std::int32_t g) { return own.reach[g] < last; }));
      });
      const std::int32_t fit = own.fit;
      const std::int32_t n = fit > 0 ? fit : left;
      const std::int32_t each = blocks_for(n, Shape::kThreads / kPixels);

      block.for_each(Shape::kThreads, [&](std::int32_t i) {
        const std::int32_t p = i % kPixels;
        const std::int32_t g1 = i / kPixels * each;
        const std::int32_t g2 = cuda::lesser(g1 + each, n);
        const std::int32_t end = own.end[p];
        if (end < 0 || g1 >= g2) return;
        std::int32_t start = now[p];
        const double factor = factor_at(images, own.image[p]);
        float* image = images.data + (g0 - strip.first + g1) * images.stride + own.image[p];
        const auto put = [&](std::int32_t g, double sum) {
          bool complete = true;
          if constexpr (Several) {
            double& total = totals[(g0 - w0 + g) * kPixels + p];
            if (layer > 0) sum = total + sum;
            total = sum;
            complete = row_of(pixels, p0 + p, layer + 1) < 0;
          }
          if (complete) *image = static_cast<float>(factor * sum);
          image += images.stride;
        };
        if (fit > 0) {
          const std::int32_t to = cuda::lesser(end, ring_end(start));
          const M* const ring_mz = own.mz[0].values + p * Shared::kMzPitch;
          const T* const ring = own.intensity[0].values + p * Shared::kPitch;
          const auto mz_at = [&](std::int32_t k) {
            return k < to ? static_cast<double>(ring_mz[k & kMask]) : kAboveAll;
          };
          double lo = own.window[g1].lo;
          if (g1 > 0) {
            start = first_not(start, to, [&](std::int32_t k) { return static_cast<double>(ring_mz[k & kMask]) < lo; });
          }
          std::int32_t k = start;
          double mz = mz_at(k);
          for (std::int32_t g = g1;;) {
            const double hi = own.window[g].hi;
            double sum = 0.0;
            while (mz <= hi) {
              const bool below = mz < lo;
              const T value = below ? T{0} : ring[k & kMask];  // adding 0 does not change the sum
              ++k;
              start = below ? k : start;
              sum += static_cast<double>(value);
              mz = mz_at(k);
            }
            put(g, sum);
            if (++g == g2) break;
            lo = own.window[g].lo;
            if (lo > hi) {
              start = k;
            } else {  // some of the peaks again
              k = start;
              mz = mz_at(k);
            }
          }
        } else {
          const M* const all_mz = peaks.mz + own.base[p];
          const T* const all = peaks.intensity + own.base[p];
          for (std::int32_t g = g1; g < g2; ++g) {
            const auto [lo, hi] = own.window[g];
            start = first_not(start, end, [&](std::int32_t k) { return static_cast<double>(all_mz[k]) < lo; });
            double sum = 0.0;
            for (std::int32_t k = start; k < end && static_cast<double>(all_mz[k]) <= hi; ++k) {
              sum += static_cast<double>(all[k]);
            }
            put(g, sum);
          }
        }
        if (g2 == n) other[p] = start;
      });
      g0 += n;
    }
  }
}

}  // namespace imn::images
