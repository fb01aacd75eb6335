// DeviceBatches: the scoring end of the device loop: images on the device go into batches, results come back in order.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "pipeline/common/results.h"
#include "pipeline/device/backend.h"
#include "preprocess/preprocess.h"
#include "score/device_network.h"
#include "score/statistics.h"

namespace imn::pipeline {

// What is run on every image.
struct DeviceModel {
  score::DeviceNetwork network;
  preprocess::PreprocessId id = preprocess::PreprocessId::p99_stretch_224;
  std::vector<score::Statistic> statistics;  // the second input, in its order
};

// Throws ArgumentError where network, preprocessing and statistics do not fit together.
void check_device_model(const DeviceModel& model);

// Blank images go through the network like the others, in place, which spares the device a wait for the host; their
// results are then set to 0, as the CPU's loop does that keeps them from it.
class DeviceBatches {
 public:
  // `shape`: n of all images that will come, their size and mask, which is on the device. `ahead`: batches that can be
  // prepared before the first of them is scored, at least 1. `idle` is called while it waits for the device.
  DeviceBatches(DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape, std::int64_t ahead,
                std::function<void()> idle);

  // Device memory that the constructor takes where one batch is prepared ahead, and that each further one adds.
  static std::int64_t device_bytes(const DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape);
  static std::int64_t batch_bytes(const DeviceModel& model);

  // n images in a row in device memory, which may be overwritten by later work of queue `prepare`.
  void add(const float* images, std::int64_t n);
  // Scores what is left, waits for all results and writes them: those of the k-th image of all to row order[k].
  void finish(const Results& results, std::span<const std::size_t> order);
  // Images whose results have arrived.
  std::int64_t arrived();

 private:
  struct UnderWay {
    DeviceBackend::Event event;
    std::int64_t images;
  };

  void submit();

  DeviceBackend& backend_;
  const DeviceModel& model_;
  std::int64_t n_;
  std::int64_t pixels_;
  std::function<void()> idle_;
  std::int64_t image_bytes_;  // of one preprocessed image

  // What the network reads, on the device: written in queue `prepare` once it was scored.
  struct Batch {
    std::byte* input = nullptr;
    float* statistics = nullptr;  // null where the network takes none
    DeviceBackend::Event prepared = 0;
    DeviceBackend::Event scored = 0;
  };
  std::vector<Batch> batches_;  // taken in turn
  std::size_t next_ = 0;        // the one that is filled

  // On the device, of queue `score` alone.
  float* outputs_;
  preprocess::ImageFacts* facts_;  // (n)

  // Pinned.
  float* all_outputs_;                 // (n, n_outputs)
  preprocess::ImageFacts* all_facts_;  // (n)

  std::int64_t taken_ = 0;
  std::int64_t filled_ = 0;
  std::int64_t submitted_ = 0;
  std::int64_t arrived_ = 0;
  std::vector<DeviceBackend::Event> free_events_;
  std::deque<UnderWay> under_way_;
};

}  // namespace imn::pipeline
