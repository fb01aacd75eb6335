// Kernels of preprocess/ and score/ run on the host, for tests. See core/cuda/block.h.
#include <pybind11/stl.h>

#include <vector>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "preprocess/preprocess_emulated.h"
#include "score/statistics.h"
#include "score/statistics_emulated.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

py::dict to_dict(const std::vector<preprocess::ImageFacts>& facts) {
  const auto n = static_cast<py::ssize_t>(facts.size());
  py::array_t<double> sum(n);
  py::array_t<float> divisor(n);
  py::array_t<std::int32_t> measured(n), positive(n);
  py::array_t<bool> blank(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    const preprocess::ImageFacts& f = facts[static_cast<std::size_t>(i)];
    sum.mutable_at(i) = f.sum;
    divisor.mutable_at(i) = f.divisor;
    measured.mutable_at(i) = f.measured;
    positive.mutable_at(i) = f.positive;
    blank.mutable_at(i) = f.blank != 0;
  }
  py::dict d;
  d["sum"] = sum;
  d["divisor"] = divisor;
  d["measured"] = measured;
  d["positive"] = positive;
  d["blank"] = blank;
  return d;
}

py::tuple emulated_preprocess(const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask,
                              const std::string& type, std::size_t shared_bytes, std::uint64_t seed) {
  preprocess::PreprocessCall call;
  call.images = as_stack(images, mask);
  call.id = preprocess::parse_preprocess_id(id);
  call.type = preprocess::parse_element_type(type);
  constexpr py::ssize_t size = preprocess::kInputSize;
  const std::vector<py::ssize_t> shape{images.shape(0), preprocess::channels(call.id), size, size};
  py::array out = call.type == preprocess::ElementType::f32 ? py::array(py::array_t<float>(shape))
                                                            : py::array(py::array_t<std::uint16_t>(shape));
  std::vector<preprocess::ImageFacts> facts(static_cast<std::size_t>(images.shape(0)));
  call.out = out.mutable_data();
  call.facts = facts.data();
  {
    // Only plain memory is touched, held by this frame.
    const py::gil_scoped_release release;
    preprocess::preprocess_emulated(call, shared_bytes, seed);
  }
  return py::make_tuple(out, to_dict(facts));
}

py::array_t<float> emulated_statistics(const FloatArray& images, const std::optional<MaskArray>& mask,
                                       std::size_t shared_bytes, std::uint64_t seed) {
  const ImageStack stack = as_stack(images, mask);
  py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{score::kStatistics}});
  float* data = out.mutable_data();
  {
    // Only plain memory is touched, held by this frame. Two multiprocessors: blocks then count several images' objects.
    const py::gil_scoped_release release;
    score::statistics_emulated(stack, {shared_bytes, 2, seed}, data);
  }
  return out;
}

}  // namespace

void register_emulated_kernels(py::module_& m) {
  m.def(
      "emulated_preprocess", &emulated_preprocess, py::arg("images"), py::arg("preprocess_id"),
      py::arg("mask") = py::none(), py::arg("type") = "f32", py::arg("shared_bytes") = 232448, py::arg("seed") = 0,
      "For tests: the kernel of preprocess_cuda on the host. (n, H, W) float32 -> ((n, C, 224, 224) float32, or uint16 "
      "bits of type 'bf16' or 'f16'; dict of (n,) arrays). shared_bytes: what a block of the emulated device may have; "
      "seed: of the order of the threads.");
  m.def("emulated_statistics", &emulated_statistics, py::arg("images"), py::arg("mask") = py::none(),
        py::arg("shared_bytes") = 232448, py::arg("seed") = 0,
        "For tests: the kernels of statistics_cuda on the host. (n, H, W) float32 -> (n, 4) float32.");
  m.def("chaos_fits", &score::chaos_fits, py::arg("height"), py::arg("width"), py::arg("shared_bytes"),
        "Whether the kernel of statistics_cuda counts objects in shared memory.");
  m.def("preprocess_fits", &preprocess::preprocess_fits, py::arg("pixels"), py::arg("shared_bytes"),
        "Whether the kernel of preprocess_cuda keeps images of so many pixels in shared memory.");
}

}  // namespace imn::bindings
