#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/choices.h"
#include "bindings/dataset_handle.h"
#include "bindings/interruptible.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "images/bin.h"
#include "images/mz_window.h"
#include "images/patches.h"
#include "images/pixel_norms.h"
#include "images/summary.h"
#include "io/plane.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

// All work below runs through interruptible() and touches no Python object. Python does not yet know the arrays that
// are written; the dataset is immutable and kept alive by a copy of its pointer.

py::array_t<float> bin_images(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi,
                              float unmeasured, int threads) {
  const std::vector<images::MzWindow> windows = as_windows(lo, hi);
  const auto dataset = handle.dataset;
  (void)dataset->pixels();  // throws for several z planes, before the images are allocated
  py::array_t<float> out({lo.size(), py::ssize_t{dataset->geometry().height}, py::ssize_t{dataset->geometry().width}});
  images::BinOptions options;
  options.threads = threads;
  options.unmeasured = unmeasured;
  const std::span<float> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
  interruptible([&](const std::atomic<bool>& cancel) {
    options.cancel = &cancel;
    images::bin_images(*dataset, windows, options, values);
  });
  return out;
}

py::typing::Tuple<Doubles, Doubles> mean_spectrum(const DatasetHandle& handle, std::optional<double> bin_width_ppm,
                                                  int threads) {
  const auto dataset = handle.dataset;
  images::MeanSpectrum mean = interruptible([&](const std::atomic<bool>& cancel) {
    return images::mean_spectrum(*dataset, bin_width_ppm, threads, &cancel);
  });
  return py::make_tuple(to_numpy(std::move(mean.mz)), to_numpy(std::move(mean.intensity)));
}

py::array_t<float> tic_image(const DatasetHandle& handle, float unmeasured, int threads) {
  const auto dataset = handle.dataset;
  (void)dataset->pixels();
  py::array_t<float> out({py::ssize_t{dataset->geometry().height}, py::ssize_t{dataset->geometry().width}});
  const std::span<float> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
  interruptible(
      [&](const std::atomic<bool>& cancel) { images::tic_image(*dataset, unmeasured, threads, values, &cancel); });
  return out;
}

py::array_t<double> pixel_norms(const DatasetHandle& handle, const std::string& kind, double lo, double hi,
                                int threads) {
  const auto norm = parse_choice<images::Norm>(
      kind, "normalize", {{"tic", images::Norm::tic}, {"rms", images::Norm::rms}, {"median", images::Norm::median}});
  const auto dataset = handle.dataset;
  const std::vector<double> norms = interruptible(
      [&](const std::atomic<bool>& cancel) { return images::pixel_norms(*dataset, norm, lo, hi, threads, &cancel); });
  py::array_t<double> out({py::ssize_t{dataset->geometry().height}, py::ssize_t{dataset->geometry().width}});
  std::copy(norms.begin(), norms.end(), out.mutable_data());
  return out;
}

using IndexArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

// Returns the array to write to: the caller's, if it has this shape, otherwise a new one.
template <typename T>
py::array_t<T> output(const std::optional<py::array_t<T, py::array::c_style>>& given,
                      const std::vector<py::ssize_t>& shape) {
  if (!given) return py::array_t<T>(shape);
  if (std::vector<py::ssize_t>(given->shape(), given->shape() + given->ndim()) != shape || !given->writeable()) {
    throw ArgumentError("an output array must be writeable and have the result's shape");
  }
  return *given;
}

py::typing::Tuple<Floats, py::array_t<std::uint8_t>> extract_patches(
    const FloatArray& cube, const MaskArray& measured, const IndexArray& pixels, std::int64_t size,
    const IndexArray& channels, const FloatArray& centre, const FloatArray& scale, int threads,
    const std::optional<py::array_t<float, py::array::c_style>>& out_values,
    const std::optional<py::array_t<std::uint8_t, py::array::c_style>>& out_mask) {
  if (cube.ndim() != 3) throw ArgumentError("a cube must have shape (height, width, channels)");
  if (measured.ndim() != 2 || measured.shape(0) != cube.shape(0) || measured.shape(1) != cube.shape(1)) {
    throw ArgumentError("measured must have the cube's shape (height, width)");
  }
  const images::PixelCube given{cube.data(), measured.data(), cube.shape(0), cube.shape(1), cube.shape(2)};
  const images::ChannelScaling scaling{as_span(channels), as_span(centre), as_span(scale)};
  const py::ssize_t side = std::max<std::int64_t>(0, size);
  py::array_t<float> values = output(out_values, {pixels.size(), channels.size(), side, side});
  py::array_t<std::uint8_t> mask = output(out_mask, {pixels.size(), side, side});
  const std::span<float> to_values(values.mutable_data(), static_cast<std::size_t>(values.size()));
  const std::span<std::uint8_t> to_mask(mask.mutable_data(), static_cast<std::size_t>(mask.size()));
  {
    // Touches only plain memory that this frame holds.
    const py::gil_scoped_release release;
    images::extract_patches(given, as_span(pixels), size, scaling, threads, to_values, to_mask);
  }
  return py::make_tuple(values, mask);
}

}  // namespace

void register_images(py::module_& m) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  m.def("bin_images", &bin_images, py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::arg("unmeasured") = kNaN,
        py::arg("threads") = 0, "Ion images (n, H, W) float32 of m/z windows [lo, hi].");
  m.def("mean_spectrum", &mean_spectrum, py::arg("dataset"), py::arg("bin_width_ppm") = py::none(),
        py::arg("threads") = 0,
        "m/z values and mean intensities; processed files are binned, by default with a width chosen from the data.");
  m.def("tic_image", &tic_image, py::arg("dataset"), py::arg("unmeasured") = kNaN, py::arg("threads") = 0,
        "Total ion current (H, W) float32.");
  m.def("pixel_norms", &pixel_norms, py::arg("dataset"), py::arg("kind"), py::arg("lo"), py::arg("hi"),
        py::arg("threads") = 0,
        "TIC, RMS or median of each pixel's spectrum in [lo, hi], (H, W) float64; 0: no value.");
  m.def(
      "normalization_factors",
      [](const DoubleArray& norms) { return to_numpy(images::normalization_factors(as_span(norms))); },
      py::arg("norms"), "Factors (n,) that make all norms equal to their median.");
  m.def(
      "median_norm", [](const DoubleArray& norms) { return images::median_norm(as_span(norms)); }, py::arg("norms"),
      "The lower median of the positive norms; 0 if there are none.");
  m.def("extract_patches", &extract_patches, py::arg("cube"), py::arg("measured"), py::arg("pixels"), py::arg("size"),
        py::arg("channels"), py::arg("centre"), py::arg("scale"), py::arg("threads") = 0,
        py::arg("out_values").noconvert() = py::none(), py::arg("out_mask").noconvert() = py::none(),
        "(H, W, C) float32 -> (n, channels, size, size) float32 and (n, size, size) uint8, 1 = measured.");
}

}  // namespace imn::bindings
