// Where work runs: names of devices, what this build and this host offer, and why a GPU is not used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace imn {

// What the CUDA run-time library says of one GPU, and what that means for this build.
struct CudaDevice {
  int index = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  std::int64_t memory_bytes = 0;
  int multiprocessors = 0;
  std::string reason;  // why this build cannot use it; empty: usable
};

// Plain observations; assess() draws the conclusions, so that they can be tested without any of it.
struct CudaFacts {
  bool built = false;
  int toolkit = 0;                // CUDA version of the build as 1000 * major + 10 * minor; 0: built without
  std::string architectures;      // compiled for, as CMake spells them: "80-real 90-real 120"
  int driver = 0;                 // newest CUDA version that the driver supports, same coding; 0: no driver
  std::string error;              // what listing the devices failed with; empty: it worked
  std::vector<CudaDevice> found;  // without reasons; only where listing worked
};

struct DeviceStatus {
  CudaFacts cuda;
  std::vector<CudaDevice> devices;  // with reasons
  std::string reason;               // why no GPU is usable; empty: at least one is
  std::string remedy;               // what to do about it
};

// "13.0" of 13000; "none" of 0.
std::string cuda_version_text(int version);

// Whether code compiled for `architectures` runs on compute capability major.minor: "N-real" on the same major version
// from that minor version on, "N-virtual" on everything from N on, "N" is both.
bool runs_on(const std::string& architectures, int major, int minor);

DeviceStatus assess(CudaFacts facts);

// Observes build, driver and devices; never throws for what is missing. In core/cuda/facts.cpp, or core/no_cuda.cpp.
CudaFacts cuda_facts();

inline DeviceStatus device_status() { return assess(cuda_facts()); }

// A device that was chosen.
struct Device {
  bool is_cuda = false;
  int index = 0;

  std::string name() const { return is_cuda ? "cuda:" + std::to_string(index) : "cpu"; }
};

// "auto" (first usable GPU, else the CPU), "cpu", "cuda" (first usable GPU) or "cuda:N". Throws ArgumentError (no such
// name) and UnavailableError: one line with the cause and what to do.
Device choose_device(const std::string& name, const DeviceStatus& status);

// On this host; "cpu" asks no driver.
inline Device choose_device(const std::string& name) {
  return name == "cpu" ? Device{} : choose_device(name, device_status());
}

}  // namespace imn
