#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/register.h"
#include "bindings/scorer_handle.h"
#include "score/score_all.h"
#include "score/statistics.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

py::dict info_dict(const ScorerHandle& handle) {
  const score::ScorerInfo& info = handle.scorer->info();
  py::dict d;
  d["name"] = info.name;
  d["device"] = info.device;
  d["precision"] = info.precision;
  d["channels"] = info.channels;
  d["height"] = info.height;
  d["width"] = info.width;
  d["n_outputs"] = info.n_outputs;
  d["batch"] = info.batch;
  return d;
}

std::string shape_text(const py::array& array) { return py::str(array.attr("shape")); }

// Copies what a Python scorer returned, (n, n_outputs) of a floating type.
void take_result(const py::object& result, std::int64_t n, std::int64_t n_outputs, float* out) {
  if (!py::isinstance<py::array>(result)) {
    throw ArgumentError("the scoring function must return a numpy array, it returned " +
                        std::string(py::str(py::type::of(result).attr("__name__"))));
  }
  const auto array = py::reinterpret_borrow<py::array>(result);
  if (array.dtype().kind() != 'f') {
    throw ArgumentError("the scoring function must return floating-point values, it returned " +
                        std::string(py::str(array.dtype())));
  }
  if (array.ndim() != 2 || array.shape(0) != n || array.shape(1) != n_outputs) {
    throw ArgumentError("the scoring function must return shape (" + std::to_string(n) + ", " +
                        std::to_string(n_outputs) + "), it returned " + shape_text(array));
  }
  const auto values = FloatArray::ensure(array);
  if (!values) throw py::error_already_set();
  std::copy_n(values.data(), n * n_outputs, out);
}

score::ScoreCallback python_callback(const py::function& callable, const score::ScorerInfo& info) {
  // The last owner may be a thread without the GIL.
  const std::shared_ptr<py::function> held(new py::function(callable), [](const py::function* f) {
    const py::gil_scoped_acquire acquire;
    delete f;
  });
  return [held, info](const float* input, std::int64_t n, float* out) {
    const py::gil_scoped_acquire acquire;
    // A copy: the callable may keep its batches, and the buffer is used again.
    const py::array_t<float> batch(
        {py::ssize_t{n}, py::ssize_t{info.channels}, py::ssize_t{info.height}, py::ssize_t{info.width}}, input);
    take_result((*held)(batch), n, info.n_outputs, out);
  };
}

py::array_t<float> score_batch(ScorerHandle& handle, const FloatArray& images) {
  const score::ScorerInfo& info = handle.scorer->info();
  if (images.ndim() != 4 || images.shape(1) != info.channels || images.shape(2) != info.height ||
      images.shape(3) != info.width) {
    throw ArgumentError("the scorer takes shape (n, " + std::to_string(info.channels) + ", " +
                        std::to_string(info.height) + ", " + std::to_string(info.width) + "), not " +
                        shape_text(images));
  }
  py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{info.n_outputs}});
  const float* input = images.data();
  float* results = out.mutable_data();
  {
    // Only plain memory is touched, held by this frame; score_all returns or throws with no batch under way.
    const py::gil_scoped_release release;
    const FeedLock lock(handle);
    score::score_all(*handle.scorer, input, images.shape(0), results);
  }
  return out;
}

}  // namespace

void register_score(py::module_& m) {
  py::class_<ScorerHandle, std::shared_ptr<ScorerHandle>>(m, "Scorer", "A scoring engine; see the scorer factories.")
      .def_property_readonly("info", &info_dict)
      .def("score", &score_batch, py::arg("batch"), "(n, C, H, W) preprocessed images -> (n, K) outputs, any n.");

  m.attr("has_openvino") = score::has_openvino();
  m.def("cpu_has_bf16", [] {
    // The first call loads OpenVINO's plugins; nothing of Python is touched.
    const py::gil_scoped_release release;
    return score::cpu_has_bf16();
  });

  m.def(
      "openvino_scorer",
      [](const std::string& path, const std::string& precision, int threads, int batch) {
        // Compiling takes a while and touches nothing of Python; the arguments are copies.
        const py::gil_scoped_release release;
        auto handle = std::make_shared<ScorerHandle>();
        handle->scorer = score::make_openvino_scorer(path, {precision, threads, batch});
        return handle;
      },
      py::arg("path"), py::arg("precision") = "auto", py::arg("threads") = 0, py::arg("batch") = 0);

  m.def(
      "callback_scorer",
      [](const py::function& callable, int channels, int height, int width, int n_outputs, int batch,
         const std::string& name, const std::string& device, const std::string& precision) {
        const score::ScorerInfo info{name, device, precision, channels, height, width, n_outputs, batch};
        auto handle = std::make_shared<ScorerHandle>();
        handle->scorer = score::make_callback_scorer(info, python_callback(callable, info));
        return handle;
      },
      py::arg("callable"), py::arg("channels"), py::arg("height"), py::arg("width"), py::arg("n_outputs"),
      py::arg("batch"), py::arg("name") = "callback", py::arg("device") = "cpu", py::arg("precision") = "f32");

  m.def(
      "image_statistics",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, int threads) {
        const ImageStack stack = as_stack(images, mask);
        py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{score::kStatistics}});
        float* data = out.mutable_data();
        // Only plain memory is touched, and `images`, `mask` and `out` are held by this frame.
        interruptible([&](const std::atomic<bool>& cancel) { score::image_statistics(stack, threads, data, &cancel); });
        return out;
      },
      py::arg("images"), py::arg("mask") = py::none(), py::arg("threads") = 0,
      "(n, H, W) float32 -> (n, 4) moran, blur, chaos, coverage; NaN or mask == 0 = not measured.");
}

}  // namespace imn::bindings
