// Tests of the emulated thread block itself.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/python_types.h"
#include "core/cuda/block.h"
#include "core/error.h"
#include "testing/host_block.h"
#include "testing/register.h"

namespace py = pybind11;

namespace imn::testing {
namespace {

using bindings::DoubleArray;

py::typing::Tuple<py::float_, py::array_t<std::int32_t>, py::int_> emulated_collectives(const DoubleArray& values,
                                                                                        int threads,
                                                                                        std::uint64_t seed) {
  const int n = static_cast<int>(values.size());
  std::vector<std::int32_t> scanned(static_cast<std::size_t>(n));
  double sum = 0;
  std::int32_t total = 0;
  emulate_grid(1, 1, threads, cuda::kScratch * sizeof(double), seed, [&](HostBlock& block, void* shared) {
    sum = block.sum(n, [&](int i) { return values.data()[i]; }, static_cast<double*>(shared));
    block.for_each(n,
                   [&](int i) { scanned[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(values.data()[i]); });
    total = block.exclusive_scan(scanned.data(), n, static_cast<std::int32_t*>(shared));
  });
  return py::make_tuple(sum, bindings::to_numpy(std::move(scanned)), total);
}

int emulated_mistake(const std::string& kind, std::uint64_t seed) {
  if (kind != "order" && kind != "outside" && kind != "unwritten")
    throw ArgumentError("unknown mistake '" + kind + "'");
  int result = 0;
  emulate_grid(1, 1, 64, 100, seed, [&](HostBlock& block, void* shared) {
    auto* const bytes = static_cast<unsigned char*>(shared);
    if (kind == "order") block.for_each(64, [&](int i) { result = i; });
    if (kind == "outside") block.once([&] { bytes[100] = 1; });
    if (kind == "unwritten") result = bytes[7];
  });
  return result;
}

}  // namespace

void register_blocks(py::module_& m) {
  m.def("emulated_collectives", &emulated_collectives, py::arg("values"), py::arg("threads"), py::arg("seed"),
        "Sum, exclusive scan and its total, computed by the collectives of the emulated kernels.");
  m.def("emulated_mistake", &emulated_mistake, py::arg("kind"), py::arg("seed"),
        "Runs a faulty kernel: 'order' returns what depends on the threads' order, 'outside' writes one byte too far "
        "and throws, 'unwritten' returns shared memory that no thread wrote.");
}

}  // namespace imn::testing
