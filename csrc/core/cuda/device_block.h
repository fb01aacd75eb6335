// DeviceBlock is the thread block in which a kernel runs; see core/cuda/block.h. Blocks are one-dimensional and have a
// multiple of 32 threads, at most 1024.
#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

namespace imn::cuda {

class DeviceBlock {
 public:
  // Position in the grid, and the size of the grid.
  __device__ int x() const { return static_cast<int>(blockIdx.x); }
  __device__ int y() const { return static_cast<int>(blockIdx.y); }
  __device__ int grid_x() const { return static_cast<int>(gridDim.x); }
  __device__ int grid_y() const { return static_cast<int>(gridDim.y); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }

  __device__ void sync() const { __syncthreads(); }

  // Calls f(i) for i in [0, n): thread t handles t, t + threads(), ... in this order. Ends with a barrier.
  template <typename F>
  __device__ void for_each(int n, F&& f) const {
    for_each_unsynced(n, f);
    __syncthreads();
  }

  // Like for_each, without the barrier: later phases must not touch what this one writes until sync().
  template <typename F>
  __device__ void for_each_unsynced(int n, F&& f) const {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) f(i);
  }

  // Calls take(i, own, last, group) for each i in [0, n), where own = item(i), group = i / 32 * 32, and last is the
  // largest own.last of the items from group to i - 1, or -1 if i = group. own.last must be at least -1. Ends with a
  // barrier.
  template <typename Item, typename Take>
  __device__ void for_each_with_last(int n, Item&& item, Take&& take) const {
    for (int group = 32 * warp(); group < n; group += threads()) {
      const int i = group + lane();
      const auto own = item(i < n ? i : n - 1);
      int last = own.last;
      for (int offset = 1; offset < 32; offset *= 2) {
        const int other = __shfl_up_sync(~0u, last, static_cast<unsigned>(offset));
        if (lane() >= offset && other > last) last = other;
      }
      last = __shfl_up_sync(~0u, last, 1);
      if (i < n) take(i, own, lane() == 0 ? -1 : last, group);
    }
    __syncthreads();
  }

  // Copies 16 bytes into shared memory asynchronously; both addresses must be 16-byte aligned. No thread may touch `to`
  // until await_fetched(), which all threads call and which ends with a barrier.
  __device__ void fetch(void* to, const void* from) const {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
                 "l"(from)
                 : "memory");
#else
    *static_cast<uint4*>(to) = *static_cast<const uint4*>(from);
#endif
  }
  __device__ void await_fetched() const {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    __syncthreads();
  }

  // Calls f() in one thread. Ends with a barrier.
  template <typename F>
  __device__ void once(F&& f) const {
    if (threadIdx.x == 0) f();
    __syncthreads();
  }

  // Returns item(0) op item(1) op ... op item(n - 1) to all threads, computed in a fixed order: every thread combines
  // its items upwards, starting from `identity`; then each warp halves repeatedly (lane l takes in lane l + 16, then l
  // + 8, down to l + 1); then the results of the warps are combined in the same way. `scratch` is kScratch values of
  // shared memory, free again on return.
  template <typename T, typename Item, typename Op>
  __device__ T reduce(int n, T identity, Item&& item, Op&& op, T* scratch) const {
    T value = identity;
    for_each_unsynced(n, [&](int i) { value = op(value, item(i)); });
    value = join_warp(value, op);
    if (lane() == 0) scratch[warp()] = value;
    __syncthreads();
    if (warp() == 0) {
      value = lane() < threads() / 32 ? scratch[lane()] : identity;
      value = join_warp(value, op);
      if (lane() == 0) scratch[32] = value;
    }
    __syncthreads();
    value = scratch[32];
    __syncthreads();
    return value;
  }

  template <typename T, typename Item>
  __device__ T sum(int n, Item&& item, T* scratch) const {
    return reduce(n, T{0}, item, [](T a, T b) { return a + b; }, scratch);
  }

  // Replaces data[i] with the sum of data[0 .. i - 1] and returns the total. Integers only; data lies in shared memory.
  template <typename T>
  __device__ T exclusive_scan(T* data, int n, T* scratch) const {
    static_assert(std::is_integral_v<T>);
    // Each thread scans a contiguous run.
    const int each = (n + threads() - 1) / threads();
    const int first = static_cast<int>(threadIdx.x) * each;
    const int last = first + each < n ? first + each : n;
    T own = 0;
    for (int i = first; i < last; ++i) own += data[i];
    T before = own;  // inclusive scan over the warp, made exclusive below
    for (int offset = 1; offset < 32; offset *= 2) {
      const T other = __shfl_up_sync(~0u, before, static_cast<unsigned>(offset));
      if (lane() >= offset) before += other;
    }
    if (lane() == 31) scratch[warp()] = before;
    before -= own;
    __syncthreads();
    if (warp() == 0) {
      const T value = lane() < threads() / 32 ? scratch[lane()] : T{0};
      T upto = value;
      for (int offset = 1; offset < 32; offset *= 2) {
        const T other = __shfl_up_sync(~0u, upto, static_cast<unsigned>(offset));
        if (lane() >= offset) upto += other;
      }
      scratch[lane()] = upto - value;
      if (lane() == 31) scratch[32] = upto;
    }
    __syncthreads();
    before += scratch[warp()];
    for (int i = first; i < last; ++i) {
      const T value = data[i];
      data[i] = before;
      before += value;
    }
    const T total = scratch[32];
    __syncthreads();
    return total;
  }

  // Atomic within the block, integers only, so the final value does not depend on the order of calls. Each returns the
  // previous value, which does.
  template <typename T>
  __device__ T add(T* to, T value) const {
    static_assert(std::is_integral_v<T>);
    return atomicAdd_block(to, value);
  }
  template <typename T>
  __device__ T minimum(T* to, T value) const {
    static_assert(std::is_integral_v<T>);
    return atomicMin_block(to, value);
  }
  template <typename T>
  __device__ T maximum(T* to, T value) const {
    static_assert(std::is_integral_v<T>);
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
      return atomicMax_block(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
    } else {
      return atomicMax_block(to, value);
    }
  }

  // For values that other threads change within the same phase: every call accesses memory.
  template <typename T>
  __device__ T load(const T* from) const {
    return *static_cast<const volatile T*>(from);
  }
  template <typename T>
  __device__ void store(T* to, T value) const {
    *static_cast<volatile T*>(to) = value;
  }
  // Stores `desired` if `expected` is found; returns the value found. 16, 32 or 64 bits.
  template <typename T>
  __device__ T compare_and_swap(T* to, T expected, T desired) const {
    static_assert(std::is_unsigned_v<T>);
    if constexpr (sizeof(T) == 2) {
      return atomicCAS(to, expected, desired);  // no block-scoped form exists
    } else if constexpr (sizeof(T) == 8) {
      return atomicCAS_block(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(expected),
                             static_cast<unsigned long long>(desired));
    } else {
      return atomicCAS_block(to, expected, desired);
    }
  }

 private:
  __device__ int lane() const { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int warp() const { return static_cast<int>(threadIdx.x) / 32; }

  template <typename T, typename Op>
  __device__ T join_warp(T value, Op&& op) const {
    for (unsigned offset = 16; offset > 0; offset /= 2) value = op(value, shuffle_down(value, offset));
    return value;
  }

  // Shuffles any trivially copyable struct, word by word.
  template <typename T>
  __device__ static T shuffle_down(const T& value, unsigned offset) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(unsigned) == 0);
    unsigned words[sizeof(T) / sizeof(unsigned)];
    memcpy(words, &value, sizeof(T));
    for (unsigned& word : words) word = __shfl_down_sync(~0u, word, offset);
    T moved;
    memcpy(&moved, words, sizeof(T));
    return moved;
  }
};

// Returns the dynamic shared memory of the block, aligned for every type.
__device__ inline void* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char imn_dynamic_shared[];
  return imn_dynamic_shared;
}

// Returns the same address, hidden from the compiler, which would otherwise recompute it at every use.
__device__ inline void* dynamic_shared_once() {
  void* shared = dynamic_shared();
  asm("" : "+l"(shared));
  __builtin_assume(__isShared(shared));
  return shared;
}

}  // namespace imn::cuda
