// 16-byte loads and stores, the bits of a double, and min and max, for kernel bodies.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace imn::cuda {

// Assigning a whole Pack at a 16-byte aligned address compiles to one wide load or store.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

IMN_HOST_DEVICE inline std::uint64_t bits_of(double value) {
  std::uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

template <typename T>
IMN_HOST_DEVICE constexpr T lesser(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
IMN_HOST_DEVICE constexpr T greater(T a, T b) {
  return a < b ? b : a;
}

}  // namespace imn::cuda
