// The device loop and its probes, on CUDA devices.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/device_calls.h"
#include "bindings/register.h"
#include "pipeline/device/probe.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

using ReadProbe = TypedDict<"ReadProbe">;
ReadProbe probe_read(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi, std::int64_t batch,
                     std::int64_t device_memory, std::int64_t pinned_memory, int threads) {
  const std::vector<images::MzWindow> windows = as_windows(lo, hi);
  const auto dataset = handle.dataset;
  pipeline::ReadProbe probe;
  {
    // Touches only plain memory that this frame holds.
    const py::gil_scoped_release release;
    probe = pipeline::read_chunks(*dataset, windows, batch, {device_memory, pinned_memory}, threads);
  }
  ReadProbe result;
  result["seconds"] = probe.seconds;
  result["first_chunk_s"] = probe.first_chunk_s;
  result["chunks"] = probe.chunks;
  result["bytes"] = probe.bytes;
  return result;
}

void register_loop(py::module_& m) {
  m.def(
      "score_windows_on_device",
      [](const DatasetHandle& dataset, const DoubleArray& mz_lo, const DoubleArray& mz_hi, DeviceNetwork scorer,
         std::string preprocess_id, std::vector<std::string> statistics, std::optional<FloatArray> sample,
         const std::string& device, std::optional<std::int64_t> device_memory, std::int64_t pinned_memory, int threads,
         Progress progress) {
        return score_windows_on_device(dataset, mz_lo, mz_hi,
                                       {std::move(scorer), std::move(preprocess_id), std::move(statistics),
                                        std::move(sample), device_memory, pinned_memory, threads, std::move(progress)},
                                       cuda_backend(device));
      },
      py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::kw_only(), py::arg("scorer"),
      py::arg("preprocess_id"), py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(),
      py::arg("device"), py::arg("device_memory") = py::none(),
      py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes, py::arg("threads") = 0,
      py::arg("progress") = py::none());
  m.def(
      "score_stack_on_device",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, DeviceNetwork scorer,
         std::string preprocess_id, std::vector<std::string> statistics, std::optional<FloatArray> sample,
         const std::string& device, std::optional<std::int64_t> device_memory, std::int64_t pinned_memory, int threads,
         Progress progress) {
        return score_stack_on_device(images, mask,
                                     {std::move(scorer), std::move(preprocess_id), std::move(statistics),
                                      std::move(sample), device_memory, pinned_memory, threads, std::move(progress)},
                                     cuda_backend(device));
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("scorer"), py::arg("preprocess_id"),
      py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(), py::arg("device"),
      py::arg("device_memory") = py::none(), py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes,
      py::arg("threads") = 0, py::arg("progress") = py::none());
}

void register_probes(py::module_& m) {
  m.def(
      "probe_bin",
      [](const DatasetHandle& dataset, const DoubleArray& lo, const DoubleArray& hi, const std::string& device,
         int threads, int repeat, bool keep_images, std::int64_t pinned_memory) {
        return probe_bin(dataset, lo, hi, {threads, repeat, keep_images, pinned_memory}, cuda_backend(device));
      },
      py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(), py::arg("device"), py::arg("threads") = 0,
      py::arg("repeat") = 0, py::arg("keep_images") = true, py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes,
      "images (n, H, W) float32 binned on the device, 0 where not measured; seconds per repetition; pixels of each "
      "chunk.");
  m.def("probe_read", &probe_read, py::arg("dataset"), py::arg("lo"), py::arg("hi"), py::kw_only(),
        py::arg("batch") = 64, py::arg("device_memory") = std::int64_t{64} << 30,
        py::arg("pinned_memory") = pipeline::kDefaultPinnedBytes, py::arg("threads") = 0,
        "Reads as the device loop does, without a device: seconds, first_chunk_s, chunks, bytes.");
  m.def(
      "probe_prepare",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, std::string preprocess_id, std::string type,
         std::vector<std::string> statistics, std::optional<FloatArray> sample, const std::string& device, int repeat) {
        return probe_prepare(
            images, mask, {std::move(preprocess_id), std::move(type), std::move(statistics), std::move(sample), repeat},
            cuda_backend(device));
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("preprocess_id"), py::arg("type") = "f32",
      py::arg("statistics") = std::vector<std::string>{}, py::arg("sample") = py::none(), py::arg("device"),
      py::arg("repeat") = 0,
      "(n, H, W) float32 -> input (n, C, size, size) float32, or uint16 with the bits of 16-bit floats; facts, a dict "
      "of "
      "(n,) arrays; statistics (n, k); seconds per repetition on the device.");
  m.def(
      "probe_copy",
      [](std::int64_t bytes, const std::string& device, int repeat) {
        return probe_copy(bytes, repeat, cuda_backend(device));
      },
      py::arg("bytes"), py::kw_only(), py::arg("device"), py::arg("repeat") = 10,
      "Seconds of a copy on the device (copy_s) and of an upload to it (upload_s).");
}

}  // namespace

void register_device_calls(py::module_& m) {
  m.attr("DEFAULT_PINNED_MEMORY") = pipeline::kDefaultPinnedBytes;
  register_loop(m);
  register_probes(m);
}

}  // namespace imn::bindings
