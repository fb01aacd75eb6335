// build_info() and choose_device() on hosts other than this machine.
#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <cstdint>
#include <string>
#include <utility>

#include "bindings/build_info.h"
#include "core/device.h"
#include "testing/register.h"

namespace py = pybind11;

namespace imn::testing {
namespace {

using HostFacts = py::typing::Dict<py::str, py::object>;

// {"built", "toolkit", "architectures", "driver", "error", "found": [(index, name, major, minor, memory_bytes)]}.
DeviceStatus status_of(const HostFacts& facts) {
  CudaFacts f;
  f.built = facts["built"].cast<bool>();
  f.toolkit = facts["toolkit"].cast<int>();
  f.architectures = facts["architectures"].cast<std::string>();
  f.driver = facts["driver"].cast<int>();
  f.error = facts["error"].cast<std::string>();
  for (const py::handle entry : facts["found"]) {
    const auto tuple = entry.cast<py::tuple>();
    f.found.push_back({tuple[0].cast<int>(),
                       tuple[1].cast<std::string>(),
                       tuple[2].cast<int>(),
                       tuple[3].cast<int>(),
                       tuple[4].cast<std::int64_t>(),
                       0,
                       {}});
  }
  return assess(std::move(f));
}

}  // namespace

void register_host(py::module_& m) {
  m.def(
      "build_info", [](const HostFacts& facts) { return bindings::build_info(status_of(facts)); }, py::arg("facts"),
      "_core.build_info() for a host with these facts.");
  m.def(
      "choose_device",
      [](const std::string& name, const HostFacts& facts) { return choose_device(name, status_of(facts)).name(); },
      py::arg("name"), py::arg("facts"), "_core.choose_device() for a host with these facts.");
}

}  // namespace imn::testing
