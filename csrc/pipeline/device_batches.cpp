#include "pipeline/device_batches.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "core/error.h"

namespace imn::pipeline {
namespace {

// Batches enqueued ahead: enough that the device never waits for the host, few enough that a cancel is quick.
constexpr int kDepth = 8;

std::int64_t preprocessed_bytes(const DeviceModel& model) {
  return std::int64_t{model.scorer.info.channels} * preprocess::kInputSize * preprocess::kInputSize *
         score::size_of(model.scorer.info.image_type);
}

struct Sizes {
  std::int64_t input, statistics, outputs, blank;
};

Sizes sizes(const DeviceModel& model, std::int64_t n) {
  const score::DeviceScorerInfo& info = model.scorer.info;
  constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
  return {info.batch * preprocessed_bytes(model), info.batch * info.n_statistics * kFloat,
          info.batch * info.n_outputs * kFloat, n};
}

}  // namespace

void check_device_model(const DeviceModel& model) {
  score::check_device_scorer(model.scorer);
  const score::DeviceScorerInfo& info = model.scorer.info;
  if (info.channels != preprocess::channels(model.id)) {
    throw ArgumentError("the network takes images of " + std::to_string(info.channels) +
                        " channels, the preprocessing makes " + std::to_string(preprocess::channels(model.id)));
  }
  if (static_cast<std::size_t>(info.n_statistics) != model.statistics.size()) {
    throw ArgumentError("the network takes " + std::to_string(info.n_statistics) + " statistics per image, not " +
                        std::to_string(model.statistics.size()));
  }
}

std::int64_t DeviceBatches::device_bytes(const DeviceModel& model, std::int64_t n) {
  const Sizes size = sizes(model, n);
  return aligned(size.input) + aligned(size.statistics) + aligned(size.outputs) + aligned(size.blank);
}

DeviceBatches::DeviceBatches(DeviceBackend& backend, const DeviceModel& model, std::int64_t n,
                             std::function<void()> idle)
    : backend_(backend), model_(model), n_(n), idle_(std::move(idle)), image_bytes_(preprocessed_bytes(model)) {
  const Sizes size = sizes(model, n);
  input_ = static_cast<std::byte*>(backend.allocate(size.input));
  if (size.statistics > 0) statistics_ = static_cast<float*>(backend.allocate(size.statistics));
  outputs_ = static_cast<float*>(backend.allocate(size.outputs));
  blank_ = static_cast<std::uint8_t*>(backend.allocate(size.blank));
  results_ = static_cast<float*>(
      backend.allocate_pinned(n * model.scorer.info.n_outputs * static_cast<std::int64_t>(sizeof(float))));
  blank_flags_ = static_cast<std::uint8_t*>(backend.allocate_pinned(n));
  for (int i = 0; i < kDepth; ++i) free_events_.push_back(backend.make_event());
}

void DeviceBatches::add(const ImageStack& images) {
  const std::int64_t batch = model_.scorer.info.batch;
  for (std::int64_t done = 0; done < images.n;) {
    ImageStack part = images;
    part.data = images.image(done);
    part.n = std::min(images.n - done, batch - filled_);
    backend_.preprocess(part, model_.id, model_.scorer.info.image_type, blank_ + taken_,
                        input_ + filled_ * image_bytes_);
    if (statistics_ != nullptr) {
      backend_.statistics(part, model_.statistics, statistics_ + filled_ * model_.scorer.info.n_statistics);
    }
    done += part.n;
    taken_ += part.n;
    filled_ += part.n;
    if (filled_ == batch) submit();
  }
}

void DeviceBatches::submit() {
  while (free_events_.empty()) {
    if (arrived(); free_events_.empty()) idle_();
  }
  const std::int64_t width = model_.scorer.info.n_outputs;
  backend_.score(model_.scorer, input_, statistics_, outputs_);
  backend_.download(results_ + submitted_ * width, outputs_,
                    filled_ * width * static_cast<std::int64_t>(sizeof(float)));
  const DeviceBackend::Event event = free_events_.back();
  free_events_.pop_back();
  backend_.record(event, Queue::compute);
  under_way_.push_back({event, filled_});
  submitted_ += std::exchange(filled_, 0);
}

std::int64_t DeviceBatches::arrived() {
  while (!under_way_.empty() && backend_.reached(under_way_.front().event)) {
    arrived_ += under_way_.front().images;
    free_events_.push_back(under_way_.front().event);
    under_way_.pop_front();
  }
  return arrived_;
}

void DeviceBatches::finish(const Results& results, std::span<const std::size_t> order) {
  if (filled_ > 0) submit();
  while (arrived() < submitted_) idle_();
  if (taken_ != n_) throw Error("the device loop scored " + std::to_string(taken_) + " of " + std::to_string(n_));
  backend_.download(blank_flags_, blank_, n_);
  backend_.finish();
  const auto width = static_cast<std::size_t>(model_.scorer.info.n_outputs);
  for (std::size_t k = 0; k < static_cast<std::size_t>(n_); ++k) {
    const std::size_t row = order[k];
    results.blank[row] = blank_flags_[k] != 0 ? 1 : 0;
    float* to = results.outputs.data() + row * width;
    if (blank_flags_[k] != 0) {
      std::fill_n(to, width, 0.0F);
    } else {
      std::copy_n(results_ + k * width, width, to);
    }
  }
}

}  // namespace imn::pipeline
