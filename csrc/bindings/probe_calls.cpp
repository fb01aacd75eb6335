// Runs single stages of the device loop from Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <span>
#include <vector>

#include "bindings/device_calls.h"
#include "bindings/facts.h"
#include "core/error.h"
#include "pipeline/device/loop.h"
#include "pipeline/device/probe.h"

namespace py = pybind11;

namespace imn::bindings {

BinProbe probe_bin(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi, const BinProbeCall& call,
                   const MakeBackend& make) {
  const std::vector<images::MzWindow> windows = as_windows(lo, hi);
  const auto dataset = handle.dataset;
  const auto n = call.keep_images ? static_cast<py::ssize_t>(windows.size()) : py::ssize_t{0};
  py::array_t<float> out({n, py::ssize_t{dataset->geometry().height}, py::ssize_t{dataset->geometry().width}});
  const std::span<float> images(out.mutable_data(), static_cast<std::size_t>(out.size()));
  pipeline::BinProbe probe;
  {
    // Only plain memory is touched, held by this frame.
    const py::gil_scoped_release release;
    const auto backend = make();
    probe =
        pipeline::bin_on_device(*dataset, windows, *backend, {pipeline::device_bytes({}, *backend), call.pinned_memory},
                                call.threads, call.repeat, images);
  }
  BinProbe result;
  result["images"] = out;
  result["seconds"] = probe.seconds;
  result["chunk_bytes"] = probe.chunk_bytes;
  result["chunk_pixels"] = probe.chunk_pixels;
  return result;
}

PrepareProbe probe_prepare(const FloatArray& images, const std::optional<MaskArray>& mask, const PrepareProbeCall& call,
                           const MakeBackend& make) {
  const ImageStack stack = as_stack(images, mask, call.sample);
  pipeline::PrepareSetup setup;
  setup.id = preprocess::parse_preprocess_id(call.preprocess_id);
  setup.type = preprocess::parse_element_type(call.type);
  for (const std::string& name : call.statistics) setup.statistics.push_back(score::parse_statistic(name));
  pipeline::PrepareProbe probe;
  {
    // Only plain memory is touched, held by this frame.
    const py::gil_scoped_release release;
    const auto backend = make();
    probe = pipeline::prepare_on_device(stack, setup, *backend, call.repeat);
  }
  const std::vector<py::ssize_t> shape{images.shape(0), setup.id.channels(), setup.id.size, setup.id.size};
  // 16-bit types are returned as their bits, because numpy has no bfloat16.
  py::array input(setup.type == preprocess::ElementType::f32 ? py::dtype::of<float>() : py::dtype::of<std::uint16_t>(),
                  shape);
  if (!probe.input.empty()) std::memcpy(input.mutable_data(), probe.input.data(), probe.input.size());
  py::array_t<float> found({images.shape(0), static_cast<py::ssize_t>(call.statistics.size())});
  if (!probe.statistics.empty()) {
    std::memcpy(found.mutable_data(), probe.statistics.data(), probe.statistics.size() * sizeof(float));
  }
  PrepareProbe result;
  result["input"] = input;
  result["facts"] = to_dict(probe.facts);
  result["statistics"] = found;
  result["seconds"] = probe.seconds;
  return result;
}

CopyProbe probe_copy(std::int64_t bytes, int repeat, const MakeBackend& make) {
  if (bytes <= 0) throw ArgumentError("bytes must be positive");
  double on_device = 0;
  double upload = 0;
  {
    const py::gil_scoped_release release;
    const auto backend = make();
    on_device = pipeline::copy_seconds(*backend, bytes, repeat);
    upload = pipeline::upload_seconds(*backend, bytes, repeat);
  }
  CopyProbe result;
  result["copy_s"] = on_device;
  result["upload_s"] = upload;
  return result;
}

}  // namespace imn::bindings
