// HostBlock emulates a thread block in one host thread; see Note [Kernels without a device] in core/cuda/block.h. Slow.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"

namespace imn::testing {

class HostBlock {
 public:
  // seed 0 runs the threads in ascending order in every phase.
  HostBlock(int x, int y, int grid_x, int grid_y, int threads, std::uint64_t seed)
      : x_(x), y_(y), grid_x_(grid_x), grid_y_(grid_y), seeded_(seed != 0), random_(seed) {
    if (threads <= 0 || threads % 32 != 0 || threads > 1024)
      throw ArgumentError("the number of threads of a block must be a multiple of 32, at most 1024");
    order_.resize(static_cast<std::size_t>(threads));
    std::iota(order_.begin(), order_.end(), 0);
  }

  int x() const { return x_; }
  int y() const { return y_; }
  int grid_x() const { return grid_x_; }
  int grid_y() const { return grid_y_; }
  int threads() const { return static_cast<int>(order_.size()); }

  void sync() const {}

  template <typename F>
  void for_each(int n, F&& f) {
    for_each_unsynced(n, f);
  }

  template <typename F>
  void for_each_unsynced(int n, F&& f) {
    each_thread([&](int t) {
      for (int i = t; i < n; i += threads()) f(i);
    });
  }

  template <typename Item, typename Take>
  void for_each_with_last(int n, Item&& item, Take&& take) {
    each_thread([&](int t) {
      if (t % 32 != 0) return;
      for (int group = t; group < n; group += threads()) {
        int last = -1;
        for (int i = group; i < std::min(n, group + 32); ++i) {
          const auto own = item(i);
          take(i, own, last, group);
          last = std::max(last, own.last);
        }
      }
    });
  }

  // Deferred until await_fetched(), so an early read sees stale bytes.
  void fetch(void* to, const void* from) { fetches_.emplace_back(to, from); }
  void await_fetched() {
    for (const auto& [to, from] : fetches_) std::memcpy(to, from, 16);
    fetches_.clear();
  }

  template <typename F>
  void once(F&& f) {
    f();
  }

  template <typename T, typename Item, typename Op>
  T reduce(int n, T identity, Item&& item, Op&& op, T* scratch) {
    std::vector<T> value(order_.size(), identity);
    each_thread([&](int t) {
      T& own = value[static_cast<std::size_t>(t)];
      for (int i = t; i < n; i += threads()) own = op(own, item(i));
    });
    std::vector<T> warps(32, identity);
    for (std::size_t w = 0; w < value.size() / 32; ++w) warps[w] = join_warp(value.data() + 32 * w, op);
    const T total = join_warp(warps.data(), op);
    // Overwritten, because a kernel must not rely on what the device leaves in its scratch.
    std::memset(static_cast<void*>(scratch), 0xA5, 33 * sizeof(T));
    return total;
  }

  template <typename T, typename Item>
  T sum(int n, Item&& item, T* scratch) {
    return reduce(n, T{0}, item, [](T a, T b) { return a + b; }, scratch);
  }

  template <typename T>
  T exclusive_scan(T* data, int n, T* scratch) {
    static_assert(std::is_integral_v<T>);
    T before = 0;
    for (int i = 0; i < n; ++i) {
      const T value = data[i];
      data[i] = before;
      before = static_cast<T>(before + value);
    }
    std::memset(scratch, 0xA5, 33 * sizeof(T));
    return before;
  }

  template <typename T>
  T add(T* to, T value) {
    static_assert(std::is_integral_v<T>);
    const T before = *to;
    *to = static_cast<T>(before + value);
    return before;
  }
  template <typename T>
  T minimum(T* to, T value) {
    static_assert(std::is_integral_v<T>);
    const T before = *to;
    *to = std::min(before, value);
    return before;
  }
  template <typename T>
  T maximum(T* to, T value) {
    static_assert(std::is_integral_v<T>);
    const T before = *to;
    *to = std::max(before, value);
    return before;
  }

  template <typename T>
  T load(const T* from) const {
    return *from;
  }
  template <typename T>
  void store(T* to, T value) const {
    *to = value;
  }
  template <typename T>
  T compare_and_swap(T* to, T expected, T desired) {
    static_assert(std::is_unsigned_v<T>);
    const T found = *to;
    if (found == expected) *to = desired;
    return found;
  }

 private:
  template <typename F>
  void each_thread(F&& f) {
    if (seeded_) std::shuffle(order_.begin(), order_.end(), random_);
    for (const int t : order_) f(t);
  }

  template <typename T, typename Op>
  static T join_warp(T* lanes, Op&& op) {
    for (int offset = 16; offset > 0; offset /= 2) {
      for (int lane = 0; lane < offset; ++lane) lanes[lane] = op(lanes[lane], lanes[lane + offset]);
    }
    return lanes[0];
  }

  int x_, y_, grid_x_, grid_y_;
  bool seeded_;
  std::mt19937_64 random_;
  std::vector<int> order_;
  std::vector<std::pair<void*, const void*>> fetches_;
};

// Runs body(block, shared) for every block of a grid, one at a time, in an order drawn from the seed (0: ascending). As
// on the device, shared memory does not start as zeros. Throws Error if a block writes outside it.
template <typename Body>
void emulate_grid(int grid_x, int grid_y, int threads, std::size_t shared_bytes, std::uint64_t seed, Body&& body) {
  constexpr std::size_t kGuard = 128;
  constexpr unsigned char kFill = 0xA5;
  std::mt19937_64 random(seed);
  std::vector<int> blocks(static_cast<std::size_t>(grid_x) * static_cast<std::size_t>(grid_y));
  std::iota(blocks.begin(), blocks.end(), 0);
  if (seed != 0) std::shuffle(blocks.begin(), blocks.end(), random);
  struct alignas(128) Unit {
    unsigned char bytes[kGuard];
  };
  std::vector<Unit> memory((shared_bytes + kGuard - 1) / kGuard + 2);
  auto* const begin = memory.front().bytes;
  const std::size_t size = memory.size() * kGuard;
  for (const int b : blocks) {
    std::memset(begin, kFill, size);
    HostBlock block(b % grid_x, b / grid_x, grid_x, grid_y, threads, seed == 0 ? 0 : random() | 1);
    body(block, static_cast<void*>(begin + kGuard));
    const auto untouched = [](unsigned char byte) { return byte == kFill; };
    if (!std::all_of(begin, begin + kGuard, untouched) ||
        !std::all_of(begin + kGuard + shared_bytes, begin + size, untouched)) {
      throw Error("an emulated kernel wrote outside its " + std::to_string(shared_bytes) + " bytes of shared memory");
    }
  }
}

}  // namespace imn::testing
