// DeviceBackend: memory, queues and kernels of a device as the device loop needs them. One for CUDA, one that runs the
// kernels' bodies on the host, so that the loop is tested without a device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/image_stack.h"
#include "pipeline/device_chunk.h"
#include "preprocess/preprocess.h"
#include "score/device_scorer.h"
#include "score/statistics.h"

namespace imn::pipeline {

// Work in a queue runs in order; two queues are ordered by events only.
enum class Queue { copy, compute };

// Windows of one block, in device memory, in the order of the images they make.
struct BlockWindows {
  std::int64_t n = 0;
  const std::int32_t* first_bin = nullptr;  // rows: window w holds the bins [first_bin[w], last_bin[w]) of a row
  const std::int32_t* last_bin = nullptr;
  const double* lo = nullptr;  // peaks: closed bounds, lo ascending
  const double* hi = nullptr;
};

// One thread calls it, except for reached(). What a kernel or a copy does wrong is thrown by a later call, at the
// latest by finish(). All memory goes with the backend, which first waits for all queues.
class DeviceBackend {
 public:
  using Event = std::int32_t;

  virtual ~DeviceBackend() = default;
  virtual std::string device() const = 0;          // "cuda:0", "emulated"
  virtual std::int64_t free_bytes() const = 0;     // device memory that can be had
  virtual void* allocate(std::int64_t bytes) = 0;  // device memory, aligned to 256 bytes, zero
  virtual void* allocate_pinned(std::int64_t bytes) = 0;

  virtual Event make_event() = 0;  // reached until it is recorded
  virtual void record(Event event, Queue queue) = 0;
  virtual void wait(Queue queue, Event event) = 0;  // later work of the queue comes after the event
  virtual bool reached(Event event) const = 0;
  virtual void finish() = 0;  // waits for all queues

  // In queue `copy`; `from` is pinned.
  virtual void upload(void* to, const void* from, std::int64_t bytes) = 0;
  // The rest in queue `compute`; `to` is pinned.
  virtual void download(void* to, const void* from, std::int64_t bytes) = 0;
  virtual void zero(void* to, std::int64_t bytes) = 0;

  // Adds nothing up across chunks: a chunk holds its pixels' spectra complete as far as the windows reach. Writes the
  // chunk's pixels in windows.n images of `pixels` pixels each.
  virtual void bin(const Chunk& chunk, const void* data, const BlockWindows& windows, float* images,
                   std::int64_t pixels) = 0;
  // `images` in device memory. blank (n), input (n, channels, 224, 224) of `type`.
  virtual void preprocess(const ImageStack& images, preprocess::PreprocessId id, score::ImageType type,
                          std::uint8_t* blank, void* input) = 0;
  // out (n, wanted.size()) float32.
  virtual void statistics(const ImageStack& images, std::span<const score::Statistic> wanted, float* out) = 0;
  // A full batch.
  virtual void score(const score::DeviceScorer& scorer, const void* input, const float* statistics, float* outputs) = 0;

  // Whether all of this can be done for images of this size; throws UnavailableError that says what cannot.
  virtual void check(std::int32_t height, std::int32_t width, std::span<const score::Statistic> wanted) const = 0;
};

// Throws UnavailableError where the build or the machine has no CUDA, ArgumentError for a device that is not there.
std::unique_ptr<DeviceBackend> make_cuda_backend(int device);

// The kernels' bodies on the host, in a thread per queue. `seed` != 0: threads of a phase in random order, and queues
// that pause at random, so that a missing wait shows in the results.
std::unique_ptr<DeviceBackend> make_emulated_backend(std::uint64_t seed);

}  // namespace imn::pipeline
