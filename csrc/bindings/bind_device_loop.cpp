#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/backend_choice.h"
#include "bindings/dataset_handle.h"
#include "bindings/progress.h"
#include "bindings/register.h"
#include "pipeline/device/loop.h"
#include "score/statistics.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// A Python object of the protocol ionmorphnet.scoring.device_scorer.DeviceScorer.
score::DeviceScorer as_device_scorer(const py::object& scorer) {
  score::DeviceScorer native;
  native.info.name = py::cast<std::string>(scorer.attr("name"));
  native.info.precision = py::cast<std::string>(scorer.attr("precision"));
  native.info.batch = py::cast<std::int64_t>(scorer.attr("batch"));
  native.info.image_type = preprocess::parse_element_type(py::cast<std::string>(scorer.attr("input_dtype")));
  native.info.channels = py::cast<std::int32_t>(scorer.attr("channels"));
  native.info.n_outputs = py::cast<std::int32_t>(scorer.attr("n_outputs"));
  native.info.n_statistics = py::cast<std::int32_t>(scorer.attr("n_statistics"));
  // The last owner may be a thread without the GIL.
  const std::shared_ptr<py::object> enqueue(new py::object(scorer.attr("enqueue")), [](const py::object* f) {
    const py::gil_scoped_acquire acquire;
    delete f;
  });
  native.enqueue = [enqueue](const void* image, const float* statistics, float* outputs, void* stream) {
    const py::gil_scoped_acquire acquire;
    (*enqueue)(address(image), address(statistics), address(outputs), address(stream));
  };
  return native;
}

pipeline::DeviceModel as_model(const py::object& scorer, const std::string& preprocess_id,
                               const std::vector<std::string>& statistics) {
  pipeline::DeviceModel model;
  model.scorer = as_device_scorer(scorer);
  model.id = preprocess::parse_preprocess_id(preprocess_id);
  for (const std::string& name : statistics) model.statistics.push_back(score::parse_statistic(name));
  return model;
}

py::dict to_dict(const pipeline::DeviceTimings& t) {
  py::dict out;
  out["read_s"] = t.read_s;
  out["wait_for_data_s"] = t.wait_for_data_s;
  out["wait_for_device_s"] = t.wait_for_device_s;
  out["total_s"] = t.total_s;
  out["blocks"] = t.blocks;
  out["images_per_block"] = t.images_per_block;
  out["batches_ahead"] = t.batches_ahead;
  out["chunks"] = t.chunks;
  out["chunk_bytes"] = t.chunk_bytes;
  out["device_chunks"] = t.device_chunks;
  out["uploaded_bytes"] = t.uploaded_bytes;
  out["device_bytes"] = t.device_bytes;
  out["resident"] = t.resident;
  return out;
}

// Keyword arguments that both functions share.
struct Run {
  pipeline::DeviceModel model;
  std::string device;
  std::uint64_t seed;
  pipeline::DeviceOptions options;
};

// Runs `loop(model, backend, options, results)` without the GIL: it touches no Python object but the scorer's function
// and the progress callback, which take the GIL for themselves; the arrays are held by the caller's frame.
template <typename Loop>
py::tuple run_loop(std::int64_t n, Run& run, py::object callback, Loop&& loop) {
  PythonProgress progress(std::move(callback));
  run.options.progress = [&](std::int64_t done, std::int64_t total) { progress(done, total); };
  py::array_t<float> out({n, std::int64_t{run.model.scorer.info.n_outputs}});
  py::array_t<bool> blank(n);
  const pipeline::Results results{{out.mutable_data(), static_cast<std::size_t>(out.size())}, as_flags(blank)};
  pipeline::DeviceTimings timings;
  {
    const py::gil_scoped_release release;
    const auto backend = make_backend(run.device, run.seed);
    if (run.options.limits.device_bytes == 0) run.options.limits.device_bytes = default_device_bytes(*backend);
    timings = loop(run.model, *backend, run.options, results);
  }
  return py::make_tuple(out, blank, to_dict(timings));
}

pipeline::DeviceOptions options_of(std::int64_t device_memory, std::int64_t pinned_memory, int threads) {
  pipeline::DeviceOptions options;
  options.limits = {device_memory, pinned_memory};
  options.threads = threads;
  return options;
}

py::tuple score_windows(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                        const py::object& scorer, const std::string& preprocess_id,
                        const std::vector<std::string>& statistics, const std::string& device,
                        std::int64_t device_memory, std::int64_t pinned_memory, int threads, py::object progress,
                        std::uint64_t seed) {
  const std::vector<images::MzWindow> windows = as_windows(mz_lo, mz_hi);
  Run run{as_model(scorer, preprocess_id, statistics), device, seed, options_of(device_memory, pinned_memory, threads)};
  const auto dataset = handle.dataset;  // a copy: Python may close the file meanwhile
  return run_loop(static_cast<std::int64_t>(windows.size()), run, std::move(progress),
                  [&](const pipeline::DeviceModel& model, pipeline::DeviceBackend& backend,
                      const pipeline::DeviceOptions& options, const pipeline::Results& results) {
                    return pipeline::score_windows_on_device(*dataset, windows, model, backend, options, results);
                  });
}

py::tuple score_stack(const FloatArray& images, const std::optional<MaskArray>& mask, const py::object& scorer,
                      const std::string& preprocess_id, const std::vector<std::string>& statistics,
                      const std::string& device, std::int64_t device_memory, std::int64_t pinned_memory, int threads,
                      py::object progress, std::uint64_t seed) {
  const ImageStack stack = as_stack(images, mask);
  Run run{as_model(scorer, preprocess_id, statistics), device, seed, options_of(device_memory, pinned_memory, threads)};
  return run_loop(stack.n, run, std::move(progress),
                  [&](const pipeline::DeviceModel& model, pipeline::DeviceBackend& backend,
                      const pipeline::DeviceOptions& options, const pipeline::Results& results) {
                    return pipeline::score_stack_on_device(stack, model, backend, options, results);
                  });
}

}  // namespace

void register_device_loop(py::module_& m) {
  // Both return (outputs float32 (n, k), blank bool (n,), timings), as score_windows() and score_stack() do. `scorer`:
  // an object of the protocol ionmorphnet.scoring.device_scorer.DeviceScorer. device: "cuda:N", or "emulated", which is
  // for tests: the kernels' bodies run on the host in an order drawn from `seed`, and the scorer gets addresses there.
  // device_memory: bytes, 0: four fifths of what is free; pinned_memory: bytes of the host.
  constexpr std::int64_t kPinned = std::int64_t{256} << 20;
  m.def("score_windows_on_device", &score_windows, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"),
        py::kw_only(), py::arg("scorer"), py::arg("preprocess_id"), py::arg("statistics") = std::vector<std::string>{},
        py::arg("device"), py::arg("device_memory") = 0, py::arg("pinned_memory") = kPinned, py::arg("threads") = 0,
        py::arg("progress") = py::none(), py::arg("seed") = 0);
  m.def("score_stack_on_device", &score_stack, py::arg("images"), py::arg("mask") = py::none(), py::kw_only(),
        py::arg("scorer"), py::arg("preprocess_id"), py::arg("statistics") = std::vector<std::string>{},
        py::arg("device"), py::arg("device_memory") = 0, py::arg("pinned_memory") = kPinned, py::arg("threads") = 0,
        py::arg("progress") = py::none(), py::arg("seed") = 0);
}

}  // namespace imn::bindings
