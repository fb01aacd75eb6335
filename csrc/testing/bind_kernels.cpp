// Kernels of the stages on emulated thread blocks, and stage functions that Python calls only in tests.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/dataset_handle.h"
#include "bindings/facts.h"
#include "preprocess/blank.h"
#include "score/statistics.h"
#include "testing/bin_emulated.h"
#include "testing/preprocess_emulated.h"
#include "testing/register.h"
#include "testing/statistics_emulated.h"

namespace py = pybind11;

namespace imn::testing {
namespace {

using bindings::DatasetHandle;
using bindings::DoubleArray;
using bindings::FloatArray;
using bindings::MaskArray;

constexpr std::size_t kSharedBytes = 227 * 1024;  // of compute capability 9.0

py::array_t<float> emulated_bin_images(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi,
                                       float unmeasured, std::uint64_t seed, std::int32_t windows_per_strip,
                                       std::int64_t pixels_per_chunk, std::int32_t bins_per_chunk, bool wide) {
  const std::vector<images::MzWindow> windows = bindings::as_windows(lo, hi);
  const auto dataset = handle.dataset;
  (void)dataset->pixels();
  py::array_t<float> out({lo.size(), py::ssize_t{dataset->geometry().height}, py::ssize_t{dataset->geometry().width}});
  const std::span<float> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
  const BinEmulation emulation{seed, windows_per_strip, pixels_per_chunk, bins_per_chunk, wide};
  const py::gil_scoped_release release;
  bin_images_emulated(*dataset, windows, emulation, unmeasured, values);
  return out;
}

py::typing::Tuple<py::array, bindings::FactArrays> emulated_preprocess(const FloatArray& images, const std::string& id,
                                                                       const std::optional<MaskArray>& mask,
                                                                       const std::string& type,
                                                                       const std::optional<FloatArray>& sample,
                                                                       std::size_t shared_bytes, std::uint64_t seed) {
  preprocess::PreprocessCall call;
  call.images = bindings::as_stack(images, mask, sample);
  call.id = preprocess::parse_preprocess_id(id);
  call.type = preprocess::parse_element_type(type);
  const std::vector<py::ssize_t> shape{images.shape(0), call.id.channels(), call.id.size, call.id.size};
  py::array out = call.type == preprocess::ElementType::f32 ? py::array(py::array_t<float>(shape))
                                                            : py::array(py::array_t<std::uint16_t>(shape));
  std::vector<preprocess::ImageFacts> facts(static_cast<std::size_t>(images.shape(0)));
  call.out = out.mutable_data();
  call.facts = facts.data();
  const preprocess::PackedTables tables(call.images, call.id);
  call.tables = tables.at(tables.bytes().data());
  {
    // Touches only plain memory that this frame holds.
    const py::gil_scoped_release release;
    preprocess_emulated(call, shared_bytes, seed);
  }
  return py::make_tuple(out, bindings::to_dict(facts));
}

py::array_t<float> emulated_statistics(const FloatArray& images, const std::optional<MaskArray>& mask,
                                       std::size_t shared_bytes, std::uint64_t seed) {
  const ImageStack stack = bindings::as_stack(images, mask);
  py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{score::kStatistics}});
  float* data = out.mutable_data();
  // Two multiprocessors, so a block counts the objects of several images.
  const Emulation emulation{shared_bytes, 2, seed};
  const py::gil_scoped_release release;
  statistics_emulated(stack, emulation, data);
  return out;
}

py::array_t<bool> find_blank(const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask,
                             int threads) {
  const ImageStack stack = bindings::as_stack(images, mask);
  const bool measured_only = preprocess::parse_preprocess_id(id).mask;
  py::array_t<bool> out(images.shape(0));
  std::uint8_t* flags = bindings::as_flags(out).data();
  const py::gil_scoped_release release;
  preprocess::find_blank(stack, measured_only, threads, flags);
  return out;
}

}  // namespace

void register_kernels(py::module_& m) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  m.def("emulated_bin_images", &emulated_bin_images, py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(),
        py::arg("unmeasured") = kNaN, py::arg("seed") = 0, py::arg("windows_per_strip") = 1 << 20,
        py::arg("pixels_per_chunk") = 1 << 20, py::arg("bins_per_chunk") = 1 << 20, py::arg("wide") = false,
        "bin_images() with emulated kernels; `wide`: use float64 even if float32 holds the values exactly.");
  m.def(
      "emulated_preprocess", &emulated_preprocess, py::arg("images"), py::arg("preprocess_id"),
      py::arg("mask") = py::none(), py::arg("type") = "f32", py::kw_only(), py::arg("sample") = py::none(),
      py::arg("shared_bytes") = kSharedBytes, py::arg("seed") = 0,
      "(n, H, W) float32 -> (n, C, size, size) float32, or uint16 with the bits of 'bf16' or 'f16', and a dict of (n,) "
      "arrays. `shared_bytes`: limit per block of the emulated device.");
  m.def("preprocess_fits", &preprocess_fits, py::arg("pixels"), py::arg("shared_bytes") = kSharedBytes,
        "Whether the kernel keeps images with this many pixels in shared memory.");
  m.def("emulated_statistics", &emulated_statistics, py::arg("images"), py::arg("mask") = py::none(), py::kw_only(),
        py::arg("shared_bytes") = kSharedBytes, py::arg("seed") = 0, "(n, H, W) float32 -> (n, 6) float32.");
  m.def("chaos_fits", &chaos_fits, py::arg("height"), py::arg("width"), py::arg("shared_bytes") = kSharedBytes,
        "Whether the kernel counts objects in shared memory.");
  m.def("find_blank", &find_blank, py::arg("images"), py::arg("preprocess_id"), py::arg("mask") = py::none(),
        py::arg("threads") = 0, "(n, H, W) float32 -> (n,) bool: whether the loops skip the image as blank.");
}

}  // namespace imn::testing
