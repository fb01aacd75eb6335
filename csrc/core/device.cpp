#include "core/device.h"

#include <charconv>
#include <sstream>
#include <utility>

#include "core/error.h"

namespace imn {
namespace {

// What the CUDA version of the build requires of the host (NVIDIA, CUDA compatibility guide and release notes).
struct Needs {
  int driver_major;  // minimum driver series
  int least_cuda;    // minimum CUDA version that the driver must support
  int major, minor;  // minimum compute capability
};

Needs needs_of(int toolkit) {
  if (toolkit >= 13000) return {580, 13000, 7, 5};
  return {525, 12000, 5, 0};
}

std::string capability(const CudaDevice& device) {
  return std::to_string(device.major) + "." + std::to_string(device.minor);
}

// Parses all of [text] as a number.
bool parse_all(const std::string& text, int& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end && value >= 0;
}

std::string why_unusable(const CudaDevice& device, const CudaFacts& facts) {
  const Needs needs = needs_of(facts.toolkit);
  if (std::pair(device.major, device.minor) < std::pair(needs.major, needs.minor)) {
    return "compute capability " + capability(device) + " is too old for CUDA " + cuda_version_text(facts.toolkit) +
           ", which needs " + std::to_string(needs.major) + "." + std::to_string(needs.minor);
  }
  if (!runs_on(facts.architectures, device.major, device.minor)) {
    return "this build has no code for compute capability " + capability(device) + " (compiled for " +
           facts.architectures + "; rebuild with IMN_CUDA_ARCHITECTURES=" + std::to_string(device.major) +
           std::to_string(device.minor) + ")";
  }
  return {};
}

}  // namespace

std::string cuda_version_text(int version) {
  if (version <= 0) return "none";
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

bool runs_on(const std::string& architectures, int major, int minor) {
  std::istringstream list(architectures);
  for (std::string entry; list >> entry;) {
    const std::size_t dash = entry.find('-');
    const std::string suffix = dash == std::string::npos ? "" : entry.substr(dash);
    std::string number = entry.substr(0, dash);
    // "90a" and "100f": the device itself, never a later one.
    const bool exact = !number.empty() && (number.back() == 'a' || number.back() == 'f');
    if (exact) number.pop_back();
    int value = 0;
    if (!parse_all(number, value)) continue;
    const int built_major = value / 10;
    const int built_minor = value % 10;
    if (exact) {
      if (built_major == major && built_minor == minor) return true;
      continue;
    }
    if (suffix != "-virtual" && built_major == major && built_minor <= minor) return true;
    if (suffix != "-real" && std::pair(built_major, built_minor) <= std::pair(major, minor)) return true;
  }
  return false;
}

DeviceStatus assess(CudaFacts facts) {
  DeviceStatus status;
  const Needs needs = needs_of(facts.toolkit);
  const std::string install = "driver " + std::to_string(needs.driver_major) + " or newer";
  if (!facts.built) {
    status.reason = "this build has no CUDA code";
    status.remedy = "install the CUDA toolkit (nvcc) and build again";
  } else if (facts.driver == 0) {
    status.reason = "no NVIDIA driver was found on this host";
    status.remedy = "install " + install;
  } else if (facts.driver < needs.least_cuda) {
    status.reason = "the NVIDIA driver supports CUDA " + cuda_version_text(facts.driver) +
                    " at most, this build needs " + cuda_version_text(needs.least_cuda);
    status.remedy = "install " + install;
  } else if (!facts.error.empty()) {
    status.reason = "the NVIDIA driver lists no GPU: " + facts.error;
    status.remedy = "check nvidia-smi and CUDA_VISIBLE_DEVICES";
  } else if (facts.found.empty()) {
    status.reason = "the NVIDIA driver lists no GPU";
    status.remedy = "check nvidia-smi and CUDA_VISIBLE_DEVICES";
  } else {
    status.devices = facts.found;
    bool usable = false;
    for (CudaDevice& device : status.devices) {
      device.reason = why_unusable(device, facts);
      usable = usable || device.reason.empty();
    }
    if (!usable) {
      const CudaDevice& first = status.devices.front();
      status.reason = first.name + ": " + first.reason;
      status.remedy = "use another GPU or another build";
    }
  }
  status.cuda = std::move(facts);
  return status;
}

Device choose_device(const std::string& name, const DeviceStatus& status) {
  if (name == "cpu") return {};
  const bool any = name == "cuda";
  int index = 0;
  if (name != "auto" && !any && (!name.starts_with("cuda:") || !parse_all(name.substr(5), index))) {
    throw ArgumentError("unknown device '" + name + "'; known: auto, cpu, cuda, cuda:N");
  }
  if (name == "auto" || any) {
    for (const CudaDevice& device : status.devices) {
      if (device.reason.empty()) return {true, device.index};
    }
    if (name == "auto") return {};
  }
  const std::string lead = "device '" + name + "': ";
  if (!status.reason.empty()) {
    throw UnavailableError(lead + status.reason + "; " + status.remedy + ", or use device='cpu'");
  }
  for (const CudaDevice& device : status.devices) {
    if (device.index != index) continue;
    if (device.reason.empty()) return {true, index};
    throw UnavailableError(lead + device.name + ": " + device.reason + "; use another device");
  }
  throw UnavailableError(lead + "this host has " + std::to_string(status.devices.size()) +
                         " CUDA device(s), counted from cuda:0; use another device");
}

}  // namespace imn
