#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/dataset_handle.h"
#include "bindings/facts.h"
#include "bindings/network_handle.h"
#include "bindings/progress.h"
#include "bindings/register.h"
#include "pipeline/host/loop.h"
#include "score/cascade.h"
#include "score/statistics.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

// The keyword arguments of a cascade: its limits, Moran's z and blur, and the array that receives the reach of each
// image.
using Limits = std::optional<std::pair<double, double>>;
using Reach = std::optional<py::array_t<float, py::array::c_style>>;

std::optional<score::Cascade> as_cascade(const Limits& limits) {
  if (!limits) return std::nullopt;
  return score::Cascade{limits->first, limits->second};
}

// Returns the sink that the keyword arguments of score_windows() and score_stack() select.
std::unique_ptr<pipeline::ImageSink> make_sink(NetworkHandle* scorer, const std::optional<std::string>& preprocess_id,
                                               const std::vector<std::string>& statistics,
                                               const std::optional<std::string>& statistic, const Limits& cascade,
                                               int threads) {
  if ((scorer != nullptr) == statistic.has_value()) throw ArgumentError("pass exactly one of scorer and statistic");
  if (statistic) {
    if (cascade) throw ArgumentError("a cascade spares a network; a classical score has none");
    return pipeline::make_statistic_sink(score::parse_statistic(*statistic), threads);
  }
  if (!preprocess_id) throw ArgumentError("a network needs preprocess_id");
  const auto id = preprocess::parse_preprocess_id(*preprocess_id);
  const score::NetworkInfo& info = scorer->network->info();
  if (info.channels != id.channels() || info.height != id.size || info.width != id.size) {
    throw ArgumentError("the network needs inputs of shape " + std::to_string(info.channels) + " x " +
                        std::to_string(info.height) + " x " + std::to_string(info.width) + ", but preprocessing '" +
                        *preprocess_id + "' produces " + std::to_string(id.channels()) + " x " +
                        std::to_string(id.size) + " x " + std::to_string(id.size));
  }
  std::vector<score::Statistic> parsed;
  for (const std::string& name : statistics) parsed.push_back(score::parse_statistic(name));
  return pipeline::make_model_sink(*scorer->network, id, std::move(parsed), as_cascade(cascade), threads);
}

// Runs `loop(sink, options, results)` without the GIL. The loop touches no Python object except the progress callback,
// which takes the GIL itself; the caller's frame holds the arrays.
template <typename Loop>
LoopResult run_loop(std::int64_t n, pipeline::ImageSink& sink, NetworkHandle* scorer, Reach reach, int threads,
                    std::int64_t memory_limit, Progress callback, Loop&& loop) {
  PythonProgress progress(std::move(callback));
  pipeline::HostOptions options;
  options.threads = threads;
  options.memory_limit = memory_limit;
  options.progress = [&](std::int64_t done, std::int64_t total) { progress(done, total); };
  py::array_t<float> out({n, std::int64_t{sink.n_outputs()}});
  py::array_t<bool> blank(n);
  pipeline::Results results{{out.mutable_data(), static_cast<std::size_t>(out.size())}, as_flags(blank)};
  if (reach) results.reach = {reach->mutable_data(), static_cast<std::size_t>(reach->size())};
  pipeline::HostTimings timings;
  {
    const py::gil_scoped_release release;
    std::optional<score::FeedLock> feeding;
    if (scorer != nullptr) feeding.emplace(scorer->feeder);
    timings = loop(sink, options, results);
  }
  return py::make_tuple(out, blank, to_dict(pipeline::facts(timings)));
}

LoopResult score_windows(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                         const std::optional<std::shared_ptr<NetworkHandle>>& scorer,
                         const std::optional<std::string>& preprocess_id, const std::vector<std::string>& statistics,
                         const std::optional<std::string>& statistic, const std::optional<FloatArray>& sample,
                         const Limits& cascade, const Reach& reach, std::int64_t memory_limit, int threads,
                         Progress progress) {
  const std::vector<images::MzWindow> windows = as_windows(mz_lo, mz_hi);
  NetworkHandle* const native = scorer ? scorer->get() : nullptr;
  const auto sink = make_sink(native, preprocess_id, statistics, statistic, cascade, threads);
  const auto dataset = handle.dataset;  // a copy, because Python may close the file in the meantime
  const float* map = as_map(sample, *dataset);
  return run_loop(static_cast<std::int64_t>(windows.size()), *sink, native, reach, threads, memory_limit,
                  std::move(progress),
                  [&](pipeline::ImageSink& s, pipeline::HostOptions& options, const pipeline::Results& results) {
                    options.sample = map;
                    return pipeline::score_windows(*dataset, windows, s, options, results);
                  });
}

LoopResult score_stack(const FloatArray& images, const std::optional<MaskArray>& mask,
                       const std::optional<std::shared_ptr<NetworkHandle>>& scorer,
                       const std::optional<std::string>& preprocess_id, const std::vector<std::string>& statistics,
                       const std::optional<std::string>& statistic, const std::optional<FloatArray>& sample,
                       const Limits& cascade, const Reach& reach, int threads, Progress progress) {
  const ImageStack stack = as_stack(images, mask, sample);
  NetworkHandle* const native = scorer ? scorer->get() : nullptr;
  const auto sink = make_sink(native, preprocess_id, statistics, statistic, cascade, threads);
  return run_loop(stack.n, *sink, native, reach, threads, pipeline::kDefaultMemoryLimit, std::move(progress),
                  [&](pipeline::ImageSink& s, const pipeline::HostOptions& options, const pipeline::Results& results) {
                    return pipeline::score_stack(stack, s, options, results);
                  });
}

}  // namespace

void register_pipeline(py::module_& m) {
  m.def("score_windows", &score_windows, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::kw_only(),
        py::arg("scorer") = py::none(), py::arg("preprocess_id") = py::none(),
        py::arg("statistics") = std::vector<std::string>{}, py::arg("statistic") = py::none(),
        py::arg("sample") = py::none(), py::arg("cascade") = py::none(), py::arg("reach").noconvert() = py::none(),
        py::arg("memory_limit") = pipeline::kDefaultMemoryLimit, py::arg("threads") = 0,
        py::arg("progress") = py::none(),
        "Scores one ion image per m/z window. `statistics`: the second input of the network; `statistic`: the "
        "classical score to compute instead; `sample` (H, W): the section's sample map, for networks that read it. "
        "`cascade`: limits of Moran's z and of blur below which the network is spared an image; `reach` (n,) float32 "
        "then receives NaN for the others. Returns outputs float32 (n, k), 0 for blank images; blank (n,); timings.");
  m.def("score_stack", &score_stack, py::arg("images"), py::arg("mask") = py::none(), py::kw_only(),
        py::arg("scorer") = py::none(), py::arg("preprocess_id") = py::none(),
        py::arg("statistics") = std::vector<std::string>{}, py::arg("statistic") = py::none(),
        py::arg("sample") = py::none(), py::arg("cascade") = py::none(), py::arg("reach").noconvert() = py::none(),
        py::arg("threads") = 0, py::arg("progress") = py::none(),
        "Like score_windows(), for images (n, H, W) in memory.");
  m.attr("DEFAULT_MEMORY_LIMIT") = pipeline::kDefaultMemoryLimit;
}

}  // namespace imn::bindings
