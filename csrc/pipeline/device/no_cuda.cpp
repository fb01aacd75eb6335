// Replaces backend_cuda.cpp in builds without CUDA.
#include "core/device.h"
#include "core/error.h"
#include "pipeline/device/backend.h"

namespace imn::pipeline {

std::unique_ptr<DeviceBackend> make_cuda_backend(int device) {
  choose_device("cuda:" + std::to_string(device), device_status());  // throws: this build has no device to use
  throw UnavailableError("built without CUDA");
}

}  // namespace imn::pipeline
