// Bits of a float, on the host and on the device.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace imn {

// The builtin behind std::bit_cast, which is host code to nvcc.
IMN_HOST_DEVICE inline std::uint32_t float_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
IMN_HOST_DEVICE inline float bits_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

// Has the order of the values: key(a) < key(b) if a < b. -0.0 comes just before 0.0, which affects no result. x must
// not be NaN.
IMN_HOST_DEVICE inline std::uint32_t order_key(float x) {
  const std::uint32_t bits = float_bits(x);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}
IMN_HOST_DEVICE inline float key_value(std::uint32_t key) {
  return bits_float((key >> 31) != 0 ? key & 0x7FFFFFFFU : ~key);
}

}  // namespace imn
