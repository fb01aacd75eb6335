// Devices: their names, what this build and this host offer, and why a GPU cannot be used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace imn {

// A GPU as the CUDA run-time library reports it, and whether this build can use it.
struct CudaDevice {
  int index = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  std::int64_t memory_bytes = 0;
  int multiprocessors = 0;
  std::string reason;  // why this build cannot use it; empty if it can
};

// Observations only. assess() draws the conclusions, which can thus be tested without a GPU.
struct CudaFacts {
  bool built = false;
  int toolkit = 0;                // CUDA version of the build as 1000 * major + 10 * minor; 0: built without
  std::string architectures;      // compiled for, as CMake spells them: "80-real 90-real 120"
  int driver = 0;                 // newest CUDA version that the driver supports, same coding; 0: no driver
  std::string error;              // error of listing the devices; empty if it worked
  std::vector<CudaDevice> found;  // without reasons; empty if listing failed
};

struct DeviceStatus {
  CudaFacts cuda;
  std::vector<CudaDevice> devices;  // with reasons
  std::string reason;               // why no GPU is usable; empty if one is
  std::string remedy;               // how to fix that
};

// "13.0" of 13000; "none" of 0.
std::string cuda_version_text(int version);

// Whether code compiled for `architectures` runs on compute capability major.minor: "N-real" on the same major version
// from that minor version on, "N-virtual" on everything from N on, "N" is both.
bool runs_on(const std::string& architectures, int major, int minor);

DeviceStatus assess(CudaFacts facts);

// Observes build, driver and devices; does not throw if something is missing. Defined in core/cuda/facts.cpp or
// core/no_cuda.cpp.
CudaFacts cuda_facts();

inline DeviceStatus device_status() { return assess(cuda_facts()); }

// The device chosen.
struct Device {
  bool is_cuda = false;
  int index = 0;

  std::string name() const { return is_cuda ? "cuda:" + std::to_string(index) : "cpu"; }
};

// "auto" (first usable GPU, else the CPU), "cpu", "cuda" (first usable GPU) or "cuda:N". Throws ArgumentError
// (unknown name) or UnavailableError, with cause and remedy in one line.
Device choose_device(const std::string& name, const DeviceStatus& status);

// On this host; "cpu" does not query the driver.
inline Device choose_device(const std::string& name) {
  return name == "cpu" ? Device{} : choose_device(name, device_status());
}

}  // namespace imn
