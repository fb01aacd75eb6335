#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/arrays.h"
#include "bindings/choices.h"
#include "bindings/interruptible.h"
#include "bindings/network_handle.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "score/score_all.h"
#include "score/statistics.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

using ScorerInfo = TypedDict<"ScorerInfo">;
ScorerInfo info_dict(const NetworkHandle& handle) {
  const score::NetworkInfo& info = handle.network->info();
  ScorerInfo d;
  d["name"] = info.name;
  d["device"] = info.device;
  d["precision"] = info.precision;
  d["channels"] = info.channels;
  d["height"] = info.height;
  d["width"] = info.width;
  d["n_outputs"] = info.n_outputs;
  d["batch"] = info.batch;
  d["n_statistics"] = info.n_statistics;
  return d;
}

std::string shape_text(const py::array& array) { return py::str(array.attr("shape")); }

// Copies the result of a Python scorer, (n, n_outputs) of a floating type.
void take_result(const py::object& result, std::int64_t n, std::int64_t n_outputs, float* out) {
  if (!py::isinstance<py::array>(result)) {
    throw ArgumentError("the scoring function must return a numpy array, but returned " +
                        std::string(py::str(py::type::of(result).attr("__name__"))));
  }
  const auto array = py::reinterpret_borrow<py::array>(result);
  if (array.dtype().kind() != 'f') {
    throw ArgumentError("the scoring function must return floating-point values, but returned " +
                        std::string(py::str(array.dtype())));
  }
  if (array.ndim() != 2 || array.shape(0) != n || array.shape(1) != n_outputs) {
    throw ArgumentError("the scoring function must return shape (" + std::to_string(n) + ", " +
                        std::to_string(n_outputs) + "), but returned " + shape_text(array));
  }
  const auto values = FloatArray::ensure(array);
  if (!values) throw py::error_already_set();
  std::copy_n(values.data(), n * n_outputs, out);
}

// Called with images (n, C, H, W), and statistics (n, F) if the network uses them; returns outputs (n, K).
using ScoreFunction = py::typing::Callable<py::array_t<float>(py::ellipsis)>;

score::ScoreCallback python_callback(const py::function& callable, const score::NetworkInfo& info) {
  // The last owner may be a thread that does not hold the GIL.
  const std::shared_ptr<py::function> held(new py::function(callable), [](const py::function* f) {
    const py::gil_scoped_acquire acquire;
    delete f;
  });
  return [held, info](const float* input, const float* statistics, std::int64_t n, float* out) {
    const py::gil_scoped_acquire acquire;
    // A copy, because the callable may keep its batches while the buffer is reused.
    const py::array_t<float> batch(
        {py::ssize_t{n}, py::ssize_t{info.channels}, py::ssize_t{info.height}, py::ssize_t{info.width}}, input);
    if (statistics == nullptr) {
      take_result((*held)(batch), n, info.n_outputs, out);
    } else {
      const py::array_t<float> second({py::ssize_t{n}, py::ssize_t{info.n_statistics}}, statistics);
      take_result((*held)(batch, second), n, info.n_outputs, out);
    }
  };
}

// Returns the second input of `n` images; null if none was passed. score_all() checks whether the network needs one.
const float* checked_statistics(const score::NetworkInfo& info, const std::optional<FloatArray>& statistics,
                                py::ssize_t n) {
  if (!statistics) return nullptr;
  const bool fits = statistics->ndim() == 2 && statistics->shape(0) == n && statistics->shape(1) == info.n_statistics;
  if (info.n_statistics > 0 && !fits) {
    throw ArgumentError("the scorer accepts statistics of shape (" + std::to_string(n) + ", " +
                        std::to_string(info.n_statistics) + "), not " + shape_text(*statistics));
  }
  return statistics->data();
}

py::array_t<float> score_batch(NetworkHandle& handle, const FloatArray& images,
                               const std::optional<FloatArray>& statistics) {
  const score::NetworkInfo& info = handle.network->info();
  if (images.ndim() != 4 || images.shape(1) != info.channels || images.shape(2) != info.height ||
      images.shape(3) != info.width) {
    throw ArgumentError("the scorer accepts images of shape (n, " + std::to_string(info.channels) + ", " +
                        std::to_string(info.height) + ", " + std::to_string(info.width) + "), not " +
                        shape_text(images));
  }
  const float* second = checked_statistics(info, statistics, images.shape(0));
  py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{info.n_outputs}});
  const float* input = images.data();
  float* results = out.mutable_data();
  {
    // Touches only plain memory that this frame holds. score_all() returns or throws only after all batches have
    // finished.
    const py::gil_scoped_release release;
    const score::FeedLock lock(handle.feeder);
    score::score_all(*handle.network, input, second, images.shape(0), results);
  }
  return out;
}

}  // namespace

void register_score(py::module_& m) {
  py::class_<NetworkHandle, std::shared_ptr<NetworkHandle>>(
      m, "Scorer", "A network that scores images; openvino_scorer() and callback_scorer() make one.")
      .def_property_readonly("info", &info_dict)
      .def("score", &score_batch, py::arg("batch"), py::arg("statistics") = py::none(),
           "(n, C, H, W) preprocessed images and, where info['n_statistics'] > 0, their (n, F) statistics -> (n, K) "
           "outputs, any n.");

  m.attr("has_openvino") = score::has_openvino();
  m.def(
      "cpu_has_bf16",
      [] {
        // The first call loads OpenVINO's plugins. It touches no Python object.
        const py::gil_scoped_release release;
        return score::cpu_has_bf16();
      },
      "Whether OpenVINO computes in bf16 on this CPU.");

  m.def(
      "openvino_scorer",
      [](const std::string& path, const std::string& precision, int threads, std::optional<int> batch) {
        const auto wanted = parse_choice<score::Precision>(
            precision, "precision",
            {{"auto", score::Precision::automatic}, {"f32", score::Precision::f32}, {"bf16", score::Precision::bf16}});
        // Compiling takes a while and touches no Python object; the arguments are copies.
        const py::gil_scoped_release release;
        auto handle = std::make_shared<NetworkHandle>();
        handle->network = score::make_openvino_network(path, {wanted, threads, batch});
        return handle;
      },
      py::arg("path"), py::arg("precision") = "auto", py::arg("threads") = 0, py::arg("batch") = py::none(),
      "Compiles an ONNX network for the CPU. batch: images scored at a time; None: chosen by the scorer.");

  m.def(
      "callback_scorer",
      [](const ScoreFunction& callable, int channels, int height, int width, int n_outputs, int batch,
         const std::string& name, const std::string& device, const std::string& precision, int n_statistics) {
        const score::NetworkInfo info{name, device, precision, channels, height, width, n_outputs, batch, n_statistics};
        auto handle = std::make_shared<NetworkHandle>();
        handle->network = score::make_callback_network(info, python_callback(callable, info));
        return handle;
      },
      py::arg("callable"), py::arg("channels"), py::arg("height"), py::arg("width"), py::arg("n_outputs"),
      py::arg("batch"), py::arg("name") = "callback", py::arg("device") = "cpu", py::arg("precision") = "f32",
      py::arg("n_statistics") = 0, "A scorer that calls a Python function with batches of preprocessed images.");

  m.def(
      "image_statistics",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, int threads) {
        const ImageStack stack = as_stack(images, mask);
        py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{score::kStatistics}});
        float* data = out.mutable_data();
        // Touches only plain memory: this frame holds `images`, `mask` and `out`.
        interruptible([&](const std::atomic<bool>& cancel) { score::image_statistics(stack, threads, data, &cancel); });
        return out;
      },
      py::arg("images"), py::arg("mask") = py::none(), py::arg("threads") = 0,
      "(n, H, W) float32 -> (n, 6) moran, blur, chaos, coverage, blur_sqrt, reliability; NaN or mask == 0 = not "
      "measured.");
}

}  // namespace imn::bindings
