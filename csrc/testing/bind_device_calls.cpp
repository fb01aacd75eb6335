// The device loop and its probes on an emulated device.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "bindings/device_calls.h"
#include "core/error.h"
#include "core/stream_copy.h"
#include "testing/emulated_backend.h"
#include "testing/register.h"

namespace py = pybind11;

namespace imn::testing {
namespace {

using bindings::DatasetHandle;
using bindings::DoubleArray;
using bindings::FloatArray;
using bindings::MaskArray;

bindings::MakeBackend emulated(const std::string& device, std::uint64_t seed) {
  if (device != "emulated") throw ArgumentError("_core_testing runs on device 'emulated', not '" + device + "'");
  return [seed] { return make_emulated_backend(seed); };
}

// Copies values from any offset of `data` into a writable array, which may start anywhere in a cache line.
template <typename T>
bool copy_values(const py::bytes& data, std::size_t at, py::array_t<T, py::array::c_style>& out, int bits) {
  const auto bytes = static_cast<std::string_view>(data);
  const auto size = static_cast<std::size_t>(out.size()) * sizeof(T);
  if (at > bytes.size() || size > bytes.size() - at) throw ArgumentError("data holds fewer values");
  const bool finite = stream_copy(reinterpret_cast<const std::byte*>(bytes.data()) + at,
                                  static_cast<std::int64_t>(out.size()), out.mutable_data(), bits);
  finish_streams();
  return finite;
}

}  // namespace

void register_device_calls(py::module_& m) {
  m.def(
      "score_windows_on_device",
      [](const DatasetHandle& dataset, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
         bindings::DeviceNetwork scorer, std::string preprocess_id, std::vector<std::string> statistics,
         std::optional<FloatArray> sample, const std::string& device, std::optional<std::int64_t> device_memory,
         std::int64_t pinned_memory, int threads, bindings::Progress progress, std::uint64_t seed) {
        return bindings::score_windows_on_device(
            dataset, mz_lo, mz_hi,
            {std::move(scorer), std::move(preprocess_id), std::move(statistics), std::move(sample), device_memory,
             pinned_memory, threads, std::move(progress)},
            emulated(device, seed));
      },
      py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::kw_only(), py::arg("scorer"),
      py::arg("preprocess_id"), py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(),
      py::arg("device") = "emulated", py::arg("device_memory") = py::none(),
      py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes, py::arg("threads") = 0,
      py::arg("progress") = py::none(), py::arg("seed") = 0,
      "Like _core's; kernels run on the host in an order drawn from `seed`, and the network receives host addresses.");
  m.def(
      "score_stack_on_device",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, bindings::DeviceNetwork scorer,
         std::string preprocess_id, std::vector<std::string> statistics, std::optional<FloatArray> sample,
         const std::string& device, std::optional<std::int64_t> device_memory, std::int64_t pinned_memory, int threads,
         bindings::Progress progress, std::uint64_t seed) {
        return bindings::score_stack_on_device(
            images, mask,
            {std::move(scorer), std::move(preprocess_id), std::move(statistics), std::move(sample), device_memory,
             pinned_memory, threads, std::move(progress)},
            emulated(device, seed));
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("scorer"), py::arg("preprocess_id"),
      py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(),
      py::arg("device") = "emulated", py::arg("device_memory") = py::none(),
      py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes, py::arg("threads") = 0,
      py::arg("progress") = py::none(), py::arg("seed") = 0, "As _core's, on the emulated device.");
  m.def(
      "probe_bin",
      [](const DatasetHandle& dataset, const DoubleArray& lo, const DoubleArray& hi, const std::string& device,
         int threads, int repeat, bool keep_images, std::int64_t pinned_memory, std::uint64_t seed) {
        return bindings::probe_bin(dataset, lo, hi, {threads, repeat, keep_images, pinned_memory},
                                   emulated(device, seed));
      },
      py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(), py::arg("device") = "emulated",
      py::arg("threads") = 0, py::arg("repeat") = 0, py::arg("keep_images") = true,
      py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes, py::arg("seed") = 0,
      "As _core's, on the emulated device.");
  m.def(
      "probe_prepare",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, std::string preprocess_id, std::string type,
         std::vector<std::string> statistics, std::optional<FloatArray> sample, const std::string& device, int repeat,
         std::uint64_t seed) {
        return bindings::probe_prepare(
            images, mask, {std::move(preprocess_id), std::move(type), std::move(statistics), std::move(sample), repeat},
            emulated(device, seed));
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("preprocess_id"), py::arg("type") = "f32",
      py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(),
      py::arg("device") = "emulated", py::arg("repeat") = 0, py::arg("seed") = 0,
      "As _core's, on the emulated device.");
  m.def(
      "probe_copy",
      [](std::int64_t bytes, const std::string& device, int repeat, std::uint64_t seed) {
        return bindings::probe_copy(bytes, repeat, emulated(device, seed));
      },
      py::arg("bytes"), py::kw_only(), py::arg("device") = "emulated", py::arg("repeat") = 10, py::arg("seed") = 0,
      "As _core's, on the emulated device.");
  m.def("stream_copy", &copy_values<float>, py::arg("data"), py::arg("at"), py::arg("out").noconvert(),
        py::arg("bits") = 0,
        "Copies values to `out` in the way that chunks are filled; False if any value is not finite.");
  m.def("stream_copy", &copy_values<double>, py::arg("data"), py::arg("at"), py::arg("out").noconvert(),
        py::arg("bits") = 0);
  m.def("stream_widths", &stream_widths, "Widths in bits of the streaming stores of this processor.");
}

}  // namespace imn::testing
