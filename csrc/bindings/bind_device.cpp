#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "core/cuda/block.h"
#include "core/device.h"
#include "core/error.h"
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

// What a host would say, for tests: {"built", "toolkit", "architectures", "driver", "error", "found": [(index, name,
// major, minor, memory_bytes)]}.
DeviceStatus status_of(const std::optional<py::dict>& facts) {
  if (!facts) return device_status();
  CudaFacts f;
  f.built = (*facts)["built"].cast<bool>();
  f.toolkit = (*facts)["toolkit"].cast<int>();
  f.architectures = (*facts)["architectures"].cast<std::string>();
  f.driver = (*facts)["driver"].cast<int>();
  f.error = (*facts)["error"].cast<std::string>();
  for (const py::handle entry : (*facts)["found"]) {
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

// The block's collectives on the host: what every emulated kernel rests on.
py::tuple emulated_collectives(const DoubleArray& values, int threads, std::uint64_t seed) {
  const int n = static_cast<int>(values.size());
  std::vector<std::int32_t> scanned(static_cast<std::size_t>(n));
  double sum = 0;
  std::int32_t total = 0;
  cuda::emulate_grid(1, 1, threads, cuda::kScratch * sizeof(double), seed, [&](cuda::HostBlock& block, void* shared) {
    sum = block.sum(n, [&](int i) { return values.data()[i]; }, static_cast<double*>(shared));
    block.for_each(n,
                   [&](int i) { scanned[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(values.data()[i]); });
    total = block.exclusive_scan(scanned.data(), n, static_cast<std::int32_t*>(shared));
  });
  return py::make_tuple(sum, to_numpy(std::move(scanned)), total);
}

// A kernel with a mistake, to see that the emulation shows it: "order" returns what depends on the order of the
// threads, "beside" writes one byte too far and throws, "unwritten" returns shared memory that nobody wrote.
int emulated_mistake(const std::string& kind, std::uint64_t seed) {
  int result = 0;
  cuda::emulate_grid(1, 1, 64, 100, seed, [&](cuda::HostBlock& block, void* shared) {
    auto* const bytes = static_cast<unsigned char*>(shared);
    if (kind == "order") block.for_each(64, [&](int i) { result = i; });
    if (kind == "beside") block.once([&] { bytes[100] = 1; });
    if (kind == "unwritten") result = bytes[7];
  });
  return result;
}

}  // namespace

void register_device(py::module_& m) {
  m.def(
      "build_info",
      [](const std::optional<py::dict>& facts) {
        py::dict d;
        d["version"] = IMN_VERSION;
        d["compiler"] = compiler();
        d["threads"] = thread_count(0);
        d["cuda"] = to_dict(status_of(facts));
        return d;
      },
      py::arg("facts") = py::none());
  m.def(
      "choose_device",
      [](const std::string& name, const std::optional<py::dict>& facts) {
        return choose_device(name, status_of(facts)).name();
      },
      py::arg("name"), py::arg("facts") = py::none());
  m.def("emulated_collectives", &emulated_collectives, py::arg("values"), py::arg("threads"), py::arg("seed"));
  m.def("emulated_mistake", &emulated_mistake, py::arg("kind"), py::arg("seed"));
}

}  // namespace imn::bindings
