// Array types that cross the Python border, and their checks.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/image_stack.h"
#include "images/candidate_axis.h"
#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::bindings {

// forcecast converts integer images, float64 images and non-contiguous views to contiguous float32 on entry.
using FloatArray = pybind11::array_t<float, pybind11::array::c_style | pybind11::array::forcecast>;
using DoubleArray = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;
using MaskArray = pybind11::array_t<std::uint8_t, pybind11::array::c_style | pybind11::array::forcecast>;

// Throws ArgumentError unless an array has the shape (height, width).
template <typename Array>
void check_plane(const Array& plane, pybind11::ssize_t height, pybind11::ssize_t width, const char* name) {
  if (plane.ndim() != 2 || plane.shape(0) != height || plane.shape(1) != width) {
    throw ArgumentError(std::string(name) + " must have the shape (height, width) of the images");
  }
}

// Returns a non-owning stack of images (n, H, W) with an optional mask and sample map (H, W); the arrays must outlive
// it.
inline ImageStack as_stack(const FloatArray& images, const std::optional<MaskArray>& mask,
                           const std::optional<FloatArray>& sample = std::nullopt) {
  if (images.ndim() != 3) throw ArgumentError("images must have shape (n, height, width)");
  constexpr auto kLongest = std::numeric_limits<std::int32_t>::max();
  if (images.shape(1) > kLongest || images.shape(2) > kLongest) {
    throw ArgumentError("images must have fewer than 2^31 pixels per side");
  }
  ImageStack stack;
  stack.data = images.data();
  stack.n = images.shape(0);
  stack.height = static_cast<std::int32_t>(images.shape(1));
  stack.width = static_cast<std::int32_t>(images.shape(2));
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  if (mask) {
    check_plane(*mask, stack.height, stack.width, "mask");
    stack.mask = mask->data();
  }
  if (sample) {
    check_plane(*sample, stack.height, stack.width, "sample");
    stack.sample = sample->data();
  }
  return stack;
}

// Returns the sample map of a section, null if there is none; the array must outlive it.
inline const float* as_map(const std::optional<FloatArray>& sample, const io::Plane& plane) {
  if (!sample) return nullptr;
  check_plane(*sample, plane.geometry().height, plane.geometry().width, "sample");
  return sample->data();
}

// Returns the bytes of a new boolean array, to which the core writes 0 or 1.
inline std::span<std::uint8_t> as_flags(pybind11::array_t<bool>& flags) {
  static_assert(sizeof(bool) == sizeof(std::uint8_t));
  return {static_cast<std::uint8_t*>(flags.request(true).ptr), static_cast<std::size_t>(flags.size())};
}

// Returns closed m/z windows from two arrays of bounds.
inline std::vector<images::MzWindow> as_windows(const DoubleArray& lo, const DoubleArray& hi) {
  if (lo.ndim() != 1 || hi.ndim() != 1 || lo.size() != hi.size()) {
    throw ArgumentError("m/z bounds must be two arrays of the same length");
  }
  std::vector<images::MzWindow> windows(static_cast<std::size_t>(lo.size()));
  for (std::size_t i = 0; i < windows.size(); ++i) windows[i] = {lo.data()[i], hi.data()[i]};
  return windows;
}

// The values of an array, which must outlive the span.
template <typename Array>
auto as_span(const Array& array) {
  return std::span(array.data(), static_cast<std::size_t>(array.size()));
}

// An axis of these windows, with their centres; its frequencies are NaN.
inline images::CandidateAxis as_axis(const DoubleArray& lo, const DoubleArray& hi) {
  images::CandidateAxis axis;
  for (const images::MzWindow& window : as_windows(lo, hi)) {
    axis.mz.push_back(0.5 * (window.lo + window.hi));
    axis.mz_lo.push_back(window.lo);
    axis.mz_hi.push_back(window.hi);
  }
  axis.frequency.assign(axis.mz.size(), std::numeric_limits<double>::quiet_NaN());
  return axis;
}

// Moves a vector into a numpy array without a copy.
template <typename T>
pybind11::array_t<T> to_numpy(std::vector<T> values) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  const T* data = owner->data();
  const auto size = static_cast<pybind11::ssize_t>(owner->size());
  pybind11::capsule keep(owner.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
  owner.release();
  return pybind11::array_t<T>(size, data, keep);
}

}  // namespace imn::bindings
