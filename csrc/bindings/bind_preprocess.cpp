#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "preprocess/preprocess.h"
#include "preprocess/sample_map.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

namespace py = pybind11;

namespace imn::bindings {
namespace {

std::optional<py::typing::Tuple<Floats, Flags, double, double, Doubles>> sample_map(
    const FloatArray& images, const std::optional<MaskArray>& mask, int threads) {
  const ImageStack stack = as_stack(images, mask);
  // Touches only plain memory: this frame holds the arrays.
  std::optional<preprocess::SampleMap> found =
      interruptible([&](const std::atomic<bool>& cancel) { return preprocess::sample_map(stack, threads, &cancel); });
  if (!found) return std::nullopt;
  py::array_t<float> map({images.shape(1), images.shape(2)});
  std::copy(found->map.begin(), found->map.end(), map.mutable_data());
  py::array_t<bool> coherent(images.shape(0));
  std::copy(found->coherent.begin(), found->coherent.end(), as_flags(coherent).begin());
  return py::make_tuple(map, coherent, found->off_sample, found->separation, to_numpy(std::move(found->noise)));
}

}  // namespace

void register_preprocess(py::module_& m) {
  m.def(
      "preprocess_channels", [](const std::string& id) { return preprocess::parse_preprocess_id(id).channels(); },
      py::arg("preprocess_id"), "Channels of the network input that a preprocessing id makes.");
  m.def(
      "preprocess_size", [](const std::string& id) { return preprocess::parse_preprocess_id(id).size; },
      py::arg("preprocess_id"), "Side in pixels of the network input that a preprocessing id makes.");
  m.def(
      "preprocess",
      [](const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask,
         const std::optional<FloatArray>& sample, int threads) {
        const ImageStack stack = as_stack(images, mask, sample);
        const auto parsed = preprocess::parse_preprocess_id(id);
        const py::ssize_t size = parsed.size;
        py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{parsed.channels()}, size, size});
        float* data = out.mutable_data();
        {
          // Touches only plain memory: this frame holds the arrays.
          const py::gil_scoped_release release;
          preprocess::preprocess(stack, parsed, threads, data);
        }
        return out;
      },
      py::arg("images"), py::arg("preprocess_id"), py::arg("mask") = py::none(), py::arg("sample") = py::none(),
      py::arg("threads") = 0,
      "(n, H, W) float32 -> (n, C, size, size) float32; NaN or mask == 0 = not measured; sample (H, W): the section's "
      "sample map, None = unknown.");
  m.def("sample_map", &sample_map, py::arg("images"), py::arg("mask") = py::none(), py::arg("threads") = 0,
        "Images (n, H, W) float32 of one section -> sample map (H, W), coherent (n,), off_sample, separation, noise "
        "(n,); None if the images cannot tell.");
}

}  // namespace imn::bindings
