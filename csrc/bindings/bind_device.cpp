#include <pybind11/pybind11.h>

#include <string>

#include "bindings/build_info.h"
#include "bindings/register.h"
#include "core/device.h"
#include "core/parallel_for.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

py::dict to_dict(const CudaDevice& device) {
  py::dict d;
  d["device"] = Device{true, device.index}.name();
  d["name"] = device.name;
  d["compute_capability"] = std::to_string(device.major) + "." + std::to_string(device.minor);
  d["memory_bytes"] = device.memory_bytes;
  d["multiprocessors"] = device.multiprocessors;
  d["usable"] = device.reason.empty();
  d["reason"] = device.reason;
  return d;
}

py::dict to_dict(const DeviceStatus& status) {
  const CudaFacts& facts = status.cuda;
  const auto version = [](int v) -> py::object { return v > 0 ? py::cast(cuda_version_text(v)) : py::none(); };
  py::list devices;
  for (const CudaDevice& device : status.devices) devices.append(to_dict(device));
  py::dict d;
  d["built"] = facts.built;
  d["toolkit"] = version(facts.toolkit);
  d["architectures"] = py::str(facts.architectures).attr("split")();
  d["driver"] = version(facts.driver);
  d["devices"] = devices;
  d["usable"] = status.reason.empty();
  d["reason"] = status.reason;
  d["remedy"] = status.remedy;
  return d;
}

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#elif defined(_MSC_VER)
  return "MSVC " + std::to_string(_MSC_FULL_VER);
#else
  return "unknown";
#endif
}

}  // namespace

NativeBuildInfo build_info(const DeviceStatus& status) {
  NativeBuildInfo d;
  d["version"] = IMN_VERSION;
  d["compiler"] = compiler();
  d["threads"] = thread_count(0);
  d["cuda"] = to_dict(status);
  return d;
}

void register_device(py::module_& m) {
  m.def("build_info", [] { return build_info(device_status()); }, "What was built and which devices this host has.");
  m.def(
      "choose_device", [](const std::string& name) { return choose_device(name, device_status()).name(); },
      py::arg("name"), "'cpu' or 'cuda:N' for 'auto', 'cpu', 'cuda' or 'cuda:N'.");
}

}  // namespace imn::bindings
