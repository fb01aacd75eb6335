// Sixteen bytes at a time, and the bits of a double, in the body of a kernel.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace imn::cuda {

// One wide load or store where the address is 16-byte aligned: assign a whole Pack.
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
