// The device loop, called from Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/device_calls.h"
#include "bindings/facts.h"
#include "bindings/progress.h"
#include "core/device.h"
#include "core/error.h"
#include "pipeline/device/loop.h"
#include "score/statistics.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

score::DeviceNetwork as_device_network(const DeviceNetwork& network) {
  score::DeviceNetwork native;
  native.info.name = py::cast<std::string>(network.attr("name"));
  native.info.precision = py::cast<std::string>(network.attr("precision"));
  native.info.batch = py::cast<std::int64_t>(network.attr("batch"));
  native.info.image_type = preprocess::parse_element_type(py::cast<std::string>(network.attr("input_dtype")));
  native.info.channels = py::cast<std::int32_t>(network.attr("channels"));
  native.info.size = py::cast<std::int32_t>(network.attr("size"));
  native.info.n_outputs = py::cast<std::int32_t>(network.attr("n_outputs"));
  native.info.n_statistics = py::cast<std::int32_t>(network.attr("n_statistics"));
  // The last owner may be a thread that does not hold the GIL.
  const std::shared_ptr<py::object> enqueue(new py::object(network.attr("enqueue")), [](const py::object* f) {
    const py::gil_scoped_acquire acquire;
    delete f;
  });
  native.enqueue = [enqueue](const void* image, const float* statistics, float* outputs, void* stream) {
    const py::gil_scoped_acquire acquire;
    (*enqueue)(address(image), address(statistics), address(outputs), address(stream));
  };
  return native;
}

pipeline::DeviceModel as_model(const DeviceLoopCall& call) {
  pipeline::DeviceModel model;
  model.network = as_device_network(call.scorer);
  model.id = preprocess::parse_preprocess_id(call.preprocess_id);
  for (const std::string& name : call.statistics) model.statistics.push_back(score::parse_statistic(name));
  return model;
}

// Runs `loop(backend, options, results)` without the GIL. The loop touches no Python object except the network's
// function and the progress callback, which take the GIL themselves; the caller's frame holds the arrays.
template <typename Loop>
LoopResult run_loop(std::int64_t n, std::int64_t n_outputs, const DeviceLoopCall& call, const MakeBackend& make,
                    Loop&& loop) {
  PythonProgress progress(call.progress);
  pipeline::DeviceOptions options;
  options.limits.pinned_bytes = call.pinned_memory;
  options.threads = call.threads;
  options.progress = [&](std::int64_t done, std::int64_t total) { progress(done, total); };
  py::array_t<float> out({n, n_outputs});
  py::array_t<bool> blank(n);
  const pipeline::Results results{{out.mutable_data(), static_cast<std::size_t>(out.size())}, as_flags(blank)};
  pipeline::DeviceTimings timings;
  {
    const py::gil_scoped_release release;
    const auto backend = make();
    options.limits.device_bytes = pipeline::device_bytes(call.device_memory, *backend);
    timings = loop(*backend, options, results);
  }
  return py::make_tuple(out, blank, to_dict(pipeline::facts(timings)));
}

}  // namespace

MakeBackend cuda_backend(const std::string& device) {
  return [device] {
    const Device chosen = choose_device(device, device_status());
    if (!chosen.is_cuda) throw ArgumentError("the device loop needs a CUDA device, not '" + device + "'");
    return pipeline::make_cuda_backend(chosen.index);
  };
}

LoopResult score_windows_on_device(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                                   const DeviceLoopCall& call, const MakeBackend& make) {
  const std::vector<images::MzWindow> windows = as_windows(mz_lo, mz_hi);
  const pipeline::DeviceModel model = as_model(call);
  const auto dataset = handle.dataset;  // a copy, because Python may close the file in the meantime
  const float* map = as_map(call.sample, *dataset);
  return run_loop(
      static_cast<std::int64_t>(windows.size()), model.network.info.n_outputs, call, make,
      [&](pipeline::DeviceBackend& backend, pipeline::DeviceOptions& options, const pipeline::Results& results) {
        options.sample = map;
        return pipeline::score_windows_on_device(*dataset, windows, model, backend, options, results);
      });
}

LoopResult score_stack_on_device(const FloatArray& images, const std::optional<MaskArray>& mask,
                                 const DeviceLoopCall& call, const MakeBackend& make) {
  const ImageStack stack = as_stack(images, mask, call.sample);
  const pipeline::DeviceModel model = as_model(call);
  return run_loop(
      stack.n, model.network.info.n_outputs, call, make,
      [&](pipeline::DeviceBackend& backend, const pipeline::DeviceOptions& options, const pipeline::Results& results) {
        return pipeline::score_stack_on_device(stack, model, backend, options, results);
      });
}

}  // namespace imn::bindings
