// The stages on a device one at a time, for tests and benchmarks.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/backend_choice.h"
#include "bindings/dataset_handle.h"
#include "bindings/register.h"
#include "core/stream_copy.h"
#include "pipeline/device_probe.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

// More than any limit of the probes' plans: what does not fit is told by the allocation.
constexpr std::int64_t kPinned = std::int64_t{192} << 20;

py::dict bin_images(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi,
                    const std::string& device, int threads, int repeat, bool keep_images, std::int64_t pinned_memory,
                    std::uint64_t seed) {
  const std::vector<images::MzWindow> windows = as_windows(lo, hi);
  const auto dataset = handle.dataset;
  const auto n = keep_images ? static_cast<py::ssize_t>(windows.size()) : py::ssize_t{0};
  py::array_t<float> out({n, py::ssize_t{dataset->height()}, py::ssize_t{dataset->width()}});
  const std::span<float> images(out.mutable_data(), static_cast<std::size_t>(out.size()));
  pipeline::BinProbe probe;
  {
    // Plain memory, held by this frame.
    const py::gil_scoped_release release;
    const auto backend = make_backend(device, seed);
    probe = pipeline::bin_on_device(*dataset, windows, *backend, {default_device_bytes(*backend), pinned_memory},
                                    threads, repeat, images);
  }
  py::dict result;
  result["images"] = out;
  result["seconds"] = probe.seconds;
  result["chunk_bytes"] = probe.chunk_bytes;
  result["chunk_pixels"] = probe.chunk_pixels;
  return result;
}

// Values at any place of `data` into a writable array, which may begin at any value of a line.
template <typename T>
bool copy_values(const py::bytes& data, std::size_t at, py::array_t<T, py::array::c_style>& out, int bits) {
  const auto bytes = static_cast<std::string_view>(data);
  const auto size = static_cast<std::size_t>(out.size()) * sizeof(T);
  if (at > bytes.size() || size > bytes.size() - at) throw ArgumentError("there are fewer values");
  const bool finite = stream_copy(reinterpret_cast<const std::byte*>(bytes.data()) + at,
                                  static_cast<std::int64_t>(out.size()), out.mutable_data(), bits);
  finish_streams();
  return finite;
}

py::dict read_chunks(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi, std::int64_t batch,
                     std::int64_t device_memory, std::int64_t pinned_memory, int threads) {
  const std::vector<images::MzWindow> windows = as_windows(lo, hi);
  const auto dataset = handle.dataset;
  pipeline::ReadProbe probe;
  {
    // Plain memory, held by this frame.
    const py::gil_scoped_release release;
    probe = pipeline::read_chunks(*dataset, windows, batch, {device_memory, pinned_memory}, threads);
  }
  py::dict result;
  result["seconds"] = probe.seconds;
  result["first_chunk_s"] = probe.first_chunk_s;
  result["chunks"] = probe.chunks;
  result["bytes"] = probe.bytes;
  return result;
}

py::dict prepare(const FloatArray& images, const std::optional<MaskArray>& mask, const std::string& preprocess_id,
                 const std::string& type, const std::vector<std::string>& statistics, const std::string& device,
                 int repeat, std::uint64_t seed) {
  const ImageStack stack = as_stack(images, mask);
  pipeline::DeviceSection section;
  section.id = preprocess::parse_preprocess_id(preprocess_id);
  section.type = preprocess::parse_element_type(type);
  for (const std::string& name : statistics) section.statistics.push_back(score::parse_statistic(name));
  pipeline::PrepareProbe probe;
  {
    // Plain memory, held by this frame.
    const py::gil_scoped_release release;
    const auto backend = make_backend(device, seed);
    probe = pipeline::prepare_on_device(stack, section, *backend, repeat);
  }
  const std::vector<py::ssize_t> shape{images.shape(0), preprocess::channels(section.id), preprocess::kInputSize,
                                       preprocess::kInputSize};
  // 16-bit types as their bits: numpy has no bfloat16.
  py::array input(
      section.type == preprocess::ElementType::f32 ? py::dtype::of<float>() : py::dtype::of<std::uint16_t>(), shape);
  if (!probe.input.empty()) std::memcpy(input.mutable_data(), probe.input.data(), probe.input.size());
  py::array_t<bool> blank(images.shape(0));
  for (std::size_t i = 0; i < probe.facts.size(); ++i) {
    blank.mutable_data()[i] = probe.facts[i].blank != 0;
  }
  py::array_t<float> found({images.shape(0), static_cast<py::ssize_t>(statistics.size())});
  if (!probe.statistics.empty()) {
    std::memcpy(found.mutable_data(), probe.statistics.data(), probe.statistics.size() * sizeof(float));
  }
  py::dict result;
  result["input"] = input;
  result["blank"] = blank;
  result["statistics"] = found;
  result["seconds"] = probe.seconds;
  return result;
}

py::dict copy(std::int64_t bytes, const std::string& device, int repeat) {
  if (bytes <= 0) throw ArgumentError("bytes must be positive");
  py::dict result;
  double on_device = 0;
  double upload = 0;
  {
    const py::gil_scoped_release release;
    const auto backend = make_backend(device, 0);
    on_device = pipeline::copy_seconds(*backend, bytes, repeat);
    upload = pipeline::upload_seconds(*backend, bytes, repeat);
  }
  result["copy_s"] = on_device;
  result["upload_s"] = upload;
  return result;
}

}  // namespace

void register_device_probe(py::module_& m) {
  m.def("probe_bin", &bin_images, py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(), py::arg("device"),
        py::arg("threads") = 0, py::arg("repeat") = 0, py::arg("keep_images") = true,
        py::arg("pinned_memory") = kPinned, py::arg("seed") = 0,
        "images (n, H, W) float32 as the device bins them, 0 where not measured; seconds of a repetition there; pixels "
        "of each chunk.");
  m.def("probe_read", &read_chunks, py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(),
        py::arg("batch") = 64, py::arg("device_memory") = std::int64_t{64} << 30, py::arg("pinned_memory") = kPinned,
        py::arg("threads") = 0, "The device loop's reading alone: seconds, first_chunk_s, chunks, bytes.");
  m.def("probe_stream_copy", &copy_values<float>, py::arg("data"), py::arg("at"), py::arg("out").noconvert(),
        py::arg("bits") = 0, "Copies to `out`, as chunks are filled; False where a value is not finite.");
  m.def("probe_stream_copy", &copy_values<double>, py::arg("data"), py::arg("at"), py::arg("out").noconvert(),
        py::arg("bits") = 0);
  m.def("stream_widths", &stream_widths, "Bits of the stores that this processor has for it.");
  m.def("probe_prepare", &prepare, py::arg("images"), py::arg("mask") = py::none(), py::kw_only(),
        py::arg("preprocess_id"), py::arg("type") = "f32", py::arg("statistics") = std::vector<std::string>{},
        py::arg("device"), py::arg("repeat") = 0, py::arg("seed") = 0,
        "(n, H, W) float32 -> input (n, C, 224, 224) float32 or the bits of 16-bit floats as uint16, blank (n,), "
        "statistics (n, k); seconds of a repetition on the device.");
  m.def("probe_copy", &copy, py::arg("bytes"), py::kw_only(), py::arg("device"), py::arg("repeat") = 10,
        "Seconds of a copy on the device (copy_s) and to it (upload_s).");
}

}  // namespace imn::bindings
