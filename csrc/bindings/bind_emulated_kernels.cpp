// Kernels of preprocess/ and score/ on images of the host, for tests: emulated (see core/cuda/block.h), or on a GPU.
#include <pybind11/stl.h>

#include <vector>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "core/device.h"
#include "preprocess/preprocess_emulated.h"
#include "preprocess/preprocess_on_device.h"
#include "score/statistics.h"
#include "score/statistics_emulated.h"
#include "score/statistics_on_device.h"

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

// run(call) fills `out` and `facts`.
template <typename Run>
py::tuple preprocess_stack(const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask,
                           const std::string& type, Run&& run) {
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
    run(call);
  }
  return py::make_tuple(out, to_dict(facts));
}

// run(stack, out) fills `out`.
template <typename Run>
py::array_t<float> statistics_of_stack(const FloatArray& images, const std::optional<MaskArray>& mask, Run&& run) {
  const ImageStack stack = as_stack(images, mask);
  py::array_t<float> out({py::ssize_t{images.shape(0)}, py::ssize_t{score::kStatistics}});
  float* data = out.mutable_data();
  {
    // Only plain memory is touched, held by this frame.
    const py::gil_scoped_release release;
    run(stack, data);
  }
  return out;
}

int gpu_index(const std::string& name) {
  const Device device = choose_device(name, device_status());
  if (!device.is_cuda) throw ArgumentError("'" + name + "' is no GPU");
  return device.index;
}

}  // namespace

void register_emulated_kernels(py::module_& m) {
  constexpr std::size_t kSharedBytes = 227 * 1024;  // of compute capability 9.0
  // (n, H, W) float32 -> ((n, C, 224, 224) float32, or uint16 with the bits of "bf16" or "f16"; dict of (n,) arrays).
  // shared_bytes: what a block of the emulated device may have. seed: of the order of threads and blocks.
  m.def(
      "emulated_preprocess",
      [](const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask, const std::string& type,
         std::size_t shared_bytes, std::uint64_t seed) {
        return preprocess_stack(images, id, mask, type, [&](const preprocess::PreprocessCall& call) {
          preprocess::preprocess_emulated(call, shared_bytes, seed);
        });
      },
      py::arg("images"), py::arg("preprocess_id"), py::arg("mask") = py::none(), py::arg("type") = "f32", py::kw_only(),
      py::arg("shared_bytes") = kSharedBytes, py::arg("seed") = 0);
  m.def(
      "cuda_preprocess",
      [](const FloatArray& images, const std::string& id, const std::optional<MaskArray>& mask, const std::string& type,
         const std::string& device) {
        return preprocess_stack(images, id, mask, type,
                                [index = gpu_index(device)](const preprocess::PreprocessCall& call) {
                                  preprocess::preprocess_on_device(call, index);
                                });
      },
      py::arg("images"), py::arg("preprocess_id"), py::arg("mask") = py::none(), py::arg("type") = "f32", py::kw_only(),
      py::arg("device") = "cuda");
  m.def("preprocess_fits", &preprocess::preprocess_fits, py::arg("pixels"), py::arg("shared_bytes") = kSharedBytes,
        "Whether the kernel keeps images of so many pixels in shared memory.");

  // (n, H, W) float32 -> (n, 4) float32.
  m.def(
      "emulated_statistics",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, std::size_t shared_bytes, std::uint64_t seed) {
        // Two multiprocessors, so that a block counts the objects of several images.
        const score::Emulation emulation{shared_bytes, 2, seed};
        return statistics_of_stack(images, mask, [&](const ImageStack& stack, float* out) {
          score::statistics_emulated(stack, emulation, out);
        });
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("shared_bytes") = kSharedBytes,
      py::arg("seed") = 0);
  m.def(
      "cuda_statistics",
      [](const FloatArray& images, const std::optional<MaskArray>& mask, const std::string& device) {
        return statistics_of_stack(images, mask, [index = gpu_index(device)](const ImageStack& stack, float* out) {
          score::statistics_on_device(stack, index, out);
        });
      },
      py::arg("images"), py::arg("mask") = py::none(), py::kw_only(), py::arg("device") = "cuda");
  m.def("chaos_fits", &score::chaos_fits, py::arg("height"), py::arg("width"), py::arg("shared_bytes") = kSharedBytes,
        "Whether the kernel counts objects in shared memory.");
}

}  // namespace imn::bindings
