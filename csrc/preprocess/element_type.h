// Number formats of the network's input, and rounding to the two narrow ones with the same bits on every backend.
#pragma once

#include <cstdint>
#include <string>

#include "core/float_bits.h"
#include "core/host_device.h"

namespace imn::preprocess {

enum class ElementType { f32, bf16, f16 };

// "f32", "bf16" or "f16"; anything else is an ArgumentError that lists the known names.
ElementType parse_element_type(const std::string& name);

inline constexpr std::int64_t element_bytes(ElementType type) { return type == ElementType::f32 ? 4 : 2; }

// Bits of x rounded to the nearest bfloat16, ties to even. x is no NaN.
IMN_HOST_DEVICE inline std::uint16_t bf16_bits(float x) {
  const auto bits = float_bits(x);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// Bits of x rounded to the nearest IEEE half, ties to even; 0 <= x <= 1.
IMN_HOST_DEVICE inline std::uint16_t f16_bits(float x) {
  constexpr float kSmallestNormal = 0x1p-14F;
  if (x < kSmallestNormal) {
    // A unit in the last place of 0.5 is that of the subnormal halves, so the addition rounds to them.
    return static_cast<std::uint16_t>(float_bits(x + 0.5F) - float_bits(0.5F));
  }
  constexpr std::uint32_t kRebias = (127U - 15U) << 23;
  const std::uint32_t bits = float_bits(x) - kRebias;
  return static_cast<std::uint16_t>((bits + 0xFFFU + ((bits >> 13) & 1U)) >> 13);
}

}  // namespace imn::preprocess
