// Binary types of arrays in the ibd file; little-endian by the standard.
#pragma once

#include <cstdint>

namespace imn::io {

enum class DType : std::uint8_t { u8, i8, u16, i16, u32, i32, u64, i64, f32, f64 };

constexpr std::int64_t size_of(DType t) {
  switch (t) {
    case DType::u8:
    case DType::i8:
      return 1;
    case DType::u16:
    case DType::i16:
      return 2;
    case DType::u32:
    case DType::i32:
    case DType::f32:
      return 4;
    default:
      return 8;
  }
}

// Whether float32 represents every value of the type exactly.
constexpr bool fits_float(DType t) { return t == DType::f32 || size_of(t) < 4; }

// Calls body(T{}) with the C++ type of `t`; the only switch over types.
template <typename Body>
decltype(auto) with_type(DType t, Body&& body) {
  switch (t) {
    case DType::u8:
      return body(std::uint8_t{});
    case DType::i8:
      return body(std::int8_t{});
    case DType::u16:
      return body(std::uint16_t{});
    case DType::i16:
      return body(std::int16_t{});
    case DType::u32:
      return body(std::uint32_t{});
    case DType::i32:
      return body(std::int32_t{});
    case DType::u64:
      return body(std::uint64_t{});
    case DType::i64:
      return body(std::int64_t{});
    case DType::f32:
      return body(float{});
    case DType::f64:
    default:
      return body(double{});
  }
}

// One array of one spectrum, checked against the file: [offset, offset + bytes) lies within it, and an uncompressed
// array has exactly length * size_of(type) bytes.
struct ArrayRef {
  std::int64_t offset = 0;
  std::int64_t length = 0;
  std::int64_t bytes = 0;
  DType type = DType::f64;
  bool zlib = false;
};

}  // namespace imn::io
