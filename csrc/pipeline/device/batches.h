// DeviceBatches: the scoring end of the device loop. It batches images on the device and returns results in order.
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
  preprocess::PreprocessId id;
  std::vector<score::Statistic> statistics;  // the second input, in its order
};

// Throws ArgumentError if network, preprocessing and statistics do not match.
void check_device_model(const DeviceModel& model);

// Blank images pass through the network like the others, so that the device does not wait for the host. Their results
// are then set to 0, as in the host loop, which does not score them.
class DeviceBatches {
 public:
  // `shape`: number and size of all images to come, and their mask, which is on the device, as are the `tables` of the
  // model's preprocessing. `ahead`: batches that can be prepared before the first of them is scored, at least 1. `idle`
  // is called while waiting for the device.
  DeviceBatches(DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape,
                const preprocess::InputTables& tables, std::int64_t ahead, std::function<void()> idle);

  // Device memory that the constructor allocates for ahead = 1, and for each further batch.
  static std::int64_t device_bytes(const DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape);
  static std::int64_t batch_bytes(const DeviceModel& model);

  // Adds n contiguous images in device memory, which later work of queue `prepare` may overwrite.
  void add(const float* images, std::int64_t n);
  // Scores the last, partial batch, waits for all results and writes those of the k-th image to row order[k].
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

  // Network input on the device; rewritten in queue `prepare` once it has been scored.
  struct Batch {
    std::byte* input = nullptr;
    float* statistics = nullptr;  // null if the network has no second input
    DeviceBackend::Event prepared = 0;
    DeviceBackend::Event scored = 0;
  };
  std::vector<Batch> batches_;  // used in turn
  std::size_t next_ = 0;        // the one being filled

  // On the device, used by queue `score` only.
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
