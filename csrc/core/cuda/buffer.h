// Owners of device memory and of page-locked host memory, and copies between them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "core/cuda/check.h"

namespace imn::cuda {

struct DeviceMemory {
  static void* allocate(std::size_t bytes) {
    void* data = nullptr;
    check(cudaMalloc(&data, bytes), "cudaMalloc");
    return data;
  }
  static void free(void* data) { (void)cudaFree(data); }
};

struct PinnedMemory {
  static void* allocate(std::size_t bytes) {
    void* data = nullptr;
    check(cudaMallocHost(&data, bytes), "cudaMallocHost");
    return data;
  }
  static void free(void* data) { (void)cudaFreeHost(data); }
};

// Holds `size` uninitialised values, 256-byte aligned. Freeing waits for the device, so keep buffers instead of
// creating them in a loop.
template <typename T, typename Memory>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : size_(size) {
    if (size > 0) data_ = static_cast<T*>(Memory::allocate(size * sizeof(T)));
  }
  ~Buffer() {
    if (data_ != nullptr) Memory::free(data_);
  }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  // Makes room for at least `size` values. Growing discards the contents.
  void reserve(std::size_t size) {
    if (size <= size_) return;
    *this = Buffer();  // free the old memory first: both may not fit at once
    *this = Buffer(size);
  }
  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

template <typename T>
using DeviceBuffer = Buffer<T, DeviceMemory>;
template <typename T>
using PinnedBuffer = Buffer<T, PinnedMemory>;

// Copies `n` values in stream order; the addresses determine the direction. The host waits unless its side is
// page-locked.
template <typename T>
void copy_async(T* to, const T* from, std::size_t n, cudaStream_t stream) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (n > 0) check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDefault, stream), "cudaMemcpyAsync");
}

// Returns a new device buffer holding a copy of `from`, after the copy has finished.
template <typename T>
DeviceBuffer<std::remove_const_t<T>> upload(std::span<T> from, cudaStream_t stream) {
  DeviceBuffer<std::remove_const_t<T>> buffer(from.size());
  copy_async(buffer.data(), from.data(), from.size(), stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return buffer;
}

}  // namespace imn::cuda
