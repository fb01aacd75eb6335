// Device calls shared by `_core` and `_core_testing`; each module supplies a backend for the device's name.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/dataset_handle.h"
#include "bindings/python_types.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/plan.h"

namespace imn::bindings {

// Called without the GIL.
using MakeBackend = std::function<std::unique_ptr<pipeline::DeviceBackend>()>;

// `device`: "cuda" or "cuda:N".
MakeBackend cuda_backend(const std::string& device);

// Keyword arguments of both loops.
struct DeviceLoopCall {
  DeviceNetwork scorer;
  std::string preprocess_id;
  std::vector<std::string> statistics;
  std::optional<FloatArray> sample;           // (H, W), the section's sample map
  std::optional<std::int64_t> device_memory;  // bytes; if not set, four fifths of the free memory
  std::int64_t pinned_memory;                 // bytes
  int threads;
  Progress progress;
};

// Both return the same as score_windows() and score_stack() on the host.
LoopResult score_windows_on_device(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                                   const DeviceLoopCall& call, const MakeBackend& make);
LoopResult score_stack_on_device(const FloatArray& images, const std::optional<MaskArray>& mask,
                                 const DeviceLoopCall& call, const MakeBackend& make);

struct BinProbeCall {
  int threads;
  int repeat;
  bool keep_images;
  std::int64_t pinned_memory;
};

// images (n, H, W) float32 binned on the device, 0 where not measured; seconds per repetition; pixels of each chunk.
using BinProbe = TypedDict<"BinProbe">;
BinProbe probe_bin(const DatasetHandle& handle, const DoubleArray& lo, const DoubleArray& hi, const BinProbeCall& call,
                   const MakeBackend& make);

struct PrepareProbeCall {
  std::string preprocess_id;
  std::string type;
  std::vector<std::string> statistics;
  std::optional<FloatArray> sample;  // (H, W)
  int repeat;
};

// (n, H, W) float32 -> input (n, C, size, size) float32, or uint16 with the bits of 16-bit floats; facts: a dict of
// (n,) arrays; statistics (n, k); seconds per repetition on the device.
using PrepareProbe = TypedDict<"PrepareProbe">;
PrepareProbe probe_prepare(const FloatArray& images, const std::optional<MaskArray>& mask, const PrepareProbeCall& call,
                           const MakeBackend& make);

// Seconds of a copy on the device (copy_s) and of an upload to it (upload_s).
using CopyProbe = TypedDict<"CopyProbe">;
CopyProbe probe_copy(std::int64_t bytes, int repeat, const MakeBackend& make);

}  // namespace imn::bindings
