#include "bindings/arrays.h"
#include "bindings/register.h"
#include "preprocess/preprocess.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace imn::bindings {

void register_preprocess(py::module_& m) {
  m.def(
      "preprocess_channels",
      [](const std::string& id) { return preprocess::channels(preprocess::parse_preprocess_id(id)); },
      py::arg("preprocess_id"), "Channels of the network input that a preprocessing id makes.");
  m.def(
      "preprocess",
      [](const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask, int threads) {
        const ImageStack stack = as_stack(images, mask);
        const auto parsed = preprocess::parse_preprocess_id(id);
        constexpr py::ssize_t size = preprocess::kInputSize;
        py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{preprocess::channels(parsed)}, size, size});
        float* data = out.mutable_data();
        {
          // Touches only plain memory: this frame holds `images`, `mask` and `out`.
          const py::gil_scoped_release release;
          preprocess::preprocess(stack, parsed, threads, data);
        }
        return out;
      },
      py::arg("images"), py::arg("preprocess_id"), py::arg("mask") = py::none(), py::arg("threads") = 0,
      "(n, H, W) float32 -> (n, C, 224, 224) float32; NaN or mask == 0 = not measured.");
}

}  // namespace imn::bindings
