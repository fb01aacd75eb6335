// The device that a Python caller of the device loop names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/device.h"
#include "core/error.h"
#include "pipeline/device/backend.h"

namespace imn::bindings {

// "cuda", "cuda:N", or "emulated", which is for tests: the kernels' bodies on the host, in an order drawn from `seed`.
inline std::unique_ptr<pipeline::DeviceBackend> make_backend(const std::string& device, std::uint64_t seed) {
  if (device == "emulated") return pipeline::make_emulated_backend(seed);
  const Device chosen = choose_device(device, device_status());
  if (!chosen.is_cuda) throw ArgumentError("the device loop needs a CUDA device, not '" + device + "'");
  return pipeline::make_cuda_backend(chosen.index);
}

// Four fifths of what is free: the rest stays for a scorer's own memory.
inline std::int64_t default_device_bytes(const pipeline::DeviceBackend& backend) {
  return backend.free_bytes() / 5 * 4;
}

}  // namespace imn::bindings
