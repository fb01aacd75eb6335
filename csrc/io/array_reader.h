// Reads the values of one array from the mapped ibd file, as float64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "io/array_type.h"

namespace imn::io {

// The bytes of an array are invalid; Spectra adds file and spectrum to the message.
class ArrayError : public Error {
 public:
  using Error::Error;
};

// m/z values that are none; the bytes may still make sense in another reading.
class MzError : public ArrayError {
 public:
  using ArrayError::ArrayError;
};

// Reads elements [first, last). Uncompressed arrays may be unaligned, and only the requested bytes are touched;
// compressed arrays are inflated through a small buffer, never beyond the announced length.
void read_array(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, std::int64_t last,
                double* out);

// The same for uncompressed arrays, into memory that a device reads next (core/stream_copy.h). T: double, or float if
// it holds every value of the type. Returns false if one of the values is NaN or infinite.
template <typename T>
bool stream_array(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, std::int64_t last, T* out);

// Uncompressed m/z values, of which those before `from` are known to ascend. Returns the index of the first value from
// there on that is greater than `value`, or length; -1 if check_mz would reject a value before that.
std::int64_t ascending_until(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t from, double value);

// Uncompressed ascending arrays: the first element in [first, length) that is >= value (or > value), by bisection.
std::int64_t lower_bound(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, double value);
std::int64_t upper_bound(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, double value);
// The same for the whole array; fast if `near` is close to the result.
std::int64_t lower_bound_near(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t near, double value);
std::int64_t upper_bound_near(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t near, double value);

// Throws MzError unless the values are ascending (equal neighbours allowed), finite and not negative.
void check_mz(std::span<const double> mz);

// Sets NaN and infinite values to 0. Returns whether there were any.
bool zero_non_finite(std::span<double> values);

// Indices of the usable m/z values (finite, not negative) in ascending order of m/z; equal values keep their order.
std::vector<std::int64_t> repair_order(std::span<const double> mz);

}  // namespace imn::io
