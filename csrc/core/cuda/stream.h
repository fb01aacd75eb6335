// Owners of streams and events, and a scope for the current device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

#include "core/cuda/check.h"

namespace imn::cuda {

// Makes a device current for this thread during its lifetime. The owners below belong to the device that was current at
// construction; they may be used and destroyed while another device is current.
class DeviceScope {
 public:
  explicit DeviceScope(int device) : device_(device) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    if (before_ != device_) check(cudaSetDevice(device_), "cudaSetDevice");
  }
  ~DeviceScope() {
    // Otherwise the next launch would report this error as its own.
    if (before_ != device_ && cudaSetDevice(before_) != cudaSuccess) (void)cudaGetLastError();
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int device_;
  int before_ = 0;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate"); }
  // An event for elapsed_ms(); costs slightly more than an untimed one.
  static Event timed() {
    Event event{nullptr};
    check(cudaEventCreate(&event.event_), "cudaEventCreate");
    return event;
  }
  ~Event() {
    if (event_ != nullptr) (void)cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  // Blocks the host; throws CudaError if work before the event failed.
  void wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  bool done() const {
    // Another thread may be capturing a graph in the mode that forbids this call in all threads of the process.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
    const cudaError_t state = cudaEventQuery(event_);
    check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
    if (state == cudaErrorNotReady) {
      (void)cudaGetLastError();  // otherwise the next launch of this thread would report it
      return false;
    }
    check(state, "cudaEventQuery");
    return true;
  }
  // Both events must be timed and done.
  static float elapsed_ms(const Event& from, const Event& to) {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, from.event_, to.event_), "cudaEventElapsedTime");
    return ms;
  }
  cudaEvent_t get() const { return event_; }

 private:
  explicit Event(std::nullptr_t) {}
  cudaEvent_t event_ = nullptr;
};

class Stream {
 public:
  // Does not wait for the legacy default stream.
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
  // Returns a stream of the highest priority: its pending thread blocks start before those of other streams.
  static Stream urgent() {
    int least = 0;
    int greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    Stream stream{nullptr};
    check(cudaStreamCreateWithPriority(&stream.stream_, cudaStreamNonBlocking, greatest),
          "cudaStreamCreateWithPriority");
    return stream;
  }
  ~Stream() {
    if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }

  // Later work of this stream starts after the event; the host does not wait.
  void wait_for(const Event& event) { check(cudaStreamWaitEvent(stream_, event.get(), 0), "cudaStreamWaitEvent"); }
  // Blocks the host; throws CudaError if work of the stream failed.
  void synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }
  cudaStream_t get() const { return stream_; }

 private:
  explicit Stream(std::nullptr_t) {}
  cudaStream_t stream_ = nullptr;
};

}  // namespace imn::cuda
