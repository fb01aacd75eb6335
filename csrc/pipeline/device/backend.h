// DeviceBackend: memory, queues and kernels of a device as the device loop needs them. CUDA implements it here; the
// tests implement it by running the kernels' bodies on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/image_stack.h"
#include "images/window_plan.h"
#include "pipeline/device/chunk.h"
#include "preprocess/preprocess_cuda.h"
#include "score/device_network.h"
#include "score/statistics.h"

namespace imn::pipeline {

// Work in a queue runs in order; two queues are ordered by events only.
enum class Queue { copy, prepare, score };

// How queue `prepare` makes the network's input: what all images of a run have in common.
struct PrepareSetup {
  std::int32_t height = 0;
  std::int32_t width = 0;
  const std::uint8_t* mask = nullptr;  // on the device; null: all pixels are measured
  preprocess::PreprocessId id;
  preprocess::ElementType type = preprocess::ElementType::f32;
  std::int64_t max_images = 1;               // per call of prepare()
  std::vector<score::Statistic> statistics;  // wanted, in this order
  preprocess::InputTables tables{};          // of the id, on the device
};

struct ChunkOnDevice {
  Chunk chunk;
  const std::byte* data = nullptr;
};

// Called by one thread, except for reached(). An error of a kernel or a copy is thrown by a later call, at the latest
// by finish(). The destructor waits for all queues and then frees all memory.
class DeviceBackend {
 public:
  using Event = std::size_t;

  virtual ~DeviceBackend() = default;
  virtual std::string device() const = 0;          // "cuda:0", "emulated"
  virtual std::int64_t free_bytes() const = 0;     // of device memory
  virtual void* allocate(std::int64_t bytes) = 0;  // device memory, aligned to 256 bytes, zero
  virtual void* allocate_pinned(std::int64_t bytes) = 0;
  virtual std::int64_t allocated_bytes() const = 0;  // device memory of allocate() and set_up()

  virtual Event make_event() = 0;  // reached until it is recorded
  virtual void record(Event event, Queue queue) = 0;
  virtual void wait(Queue queue, Event event) = 0;  // later work of the queue waits for the latest record()
  virtual bool reached(Event event) const = 0;
  virtual void finish() = 0;  // waits for all queues
  // Runs `work`, which enqueues in `prepare` and `score`, waits for it and returns how long it took there.
  virtual double seconds(const std::function<void()>& work) = 0;

  // In queue `copy`; `from` is pinned.
  virtual void upload(void* to, const void* from, std::int64_t bytes) = 0;

  // In queue `score`; `to` is pinned.
  virtual void download(void* to, const void* from, std::int64_t bytes) = 0;

  // In queue `prepare`, like everything below except score(). Both addresses are on the device.
  virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;
  virtual void zero(void* to, std::int64_t bytes) = 0;

  // Binning. The plan must live until finish(). Writes the chunks' pixels in the images of the strip's windows, of
  // `pixels` pixels each. All chunks belong to one file and may contain more than the strip needs. Many small launches
  // take longer than one, so pass all chunks that are available at once.
  virtual void set_windows(const images::WindowPlan& windows) = 0;
  // (height * width), for images of that many pixels; empty: 1 everywhere. They are copied, and the call returns once
  // they are on the device.
  virtual void set_factors(std::span<const double> factors) = 0;
  virtual void bin(std::span<const ChunkOnDevice> chunks, images::WindowStrip strip, float* images,
                   std::int64_t pixels) = 0;

  // The network's input. setup_bytes(): device memory that set_up() takes.
  virtual std::int64_t setup_bytes(const PrepareSetup& setup) const = 0;
  virtual void set_up(const PrepareSetup& setup) = 0;
  // n contiguous images, as set up. input (n, channels, size, size) of the setup's type; facts (n); statistics (n,
  // number of the setup's statistics) float32, null if there are none.
  virtual void prepare(const float* images, std::int64_t n, void* input, preprocess::ImageFacts* facts,
                       float* statistics) = 0;
  // A full batch, in queue `score`. The network must outlive the work.
  virtual void score(const score::DeviceNetwork& network, const void* input, const float* statistics,
                     float* outputs) = 0;
};

// The limit, or four fifths of the free memory; the rest is left to the network.
inline std::int64_t device_bytes(std::optional<std::int64_t> limit, const DeviceBackend& backend) {
  return limit ? *limit : backend.free_bytes() / 5 * 4;
}

// Throws UnavailableError if the build has no CUDA or the machine lacks CUDA or this device.
std::unique_ptr<DeviceBackend> make_cuda_backend(int device);

}  // namespace imn::pipeline
