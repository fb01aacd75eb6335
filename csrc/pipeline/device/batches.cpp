#include "pipeline/device/batches.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"

namespace imn::pipeline {
namespace {

// Batches enqueued ahead: enough that the device never waits for the host, few enough to cancel quickly.
constexpr int kDepth = 8;

std::int64_t preprocessed_bytes(const DeviceModel& model) {
  return model.id.values() * preprocess::element_bytes(model.network.info.image_type);
}

struct Sizes {
  std::int64_t input, statistics, outputs, facts;
};

Sizes sizes(const DeviceModel& model, std::int64_t n) {
  const score::DeviceNetworkInfo& info = model.network.info;
  constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
  return {info.batch * preprocessed_bytes(model), info.batch * info.n_statistics * kFloat,
          info.batch * info.n_outputs * kFloat, n * static_cast<std::int64_t>(sizeof(preprocess::ImageFacts))};
}

PrepareSetup setup_of(const DeviceModel& model, const ImageStack& shape, const preprocess::InputTables& tables) {
  return {.height = shape.height,
          .width = shape.width,
          .mask = shape.mask,
          .id = model.id,
          .type = model.network.info.image_type,
          .max_images = model.network.info.batch,
          .statistics = model.statistics,
          .tables = tables};
}

}  // namespace

void check_device_model(const DeviceModel& model) {
  score::check_device_network(model.network);
  const score::DeviceNetworkInfo& info = model.network.info;
  if (info.channels != model.id.channels() || info.size != model.id.size) {
    const auto shown = [](std::int32_t channels, std::int32_t size) {
      return std::to_string(channels) + " x " + std::to_string(size) + " x " + std::to_string(size);
    };
    throw ArgumentError("the network expects images of " + shown(info.channels, info.size) + ", but preprocessing '" +
                        to_string(model.id) + "' makes " + shown(model.id.channels(), model.id.size));
  }
  if (static_cast<std::size_t>(info.n_statistics) != model.statistics.size()) {
    throw ArgumentError("the network expects " + std::to_string(info.n_statistics) + " statistics per image, not " +
                        std::to_string(model.statistics.size()));
  }
}

std::int64_t DeviceBatches::device_bytes(const DeviceBackend& backend, const DeviceModel& model,
                                         const ImageStack& shape) {
  const Sizes size = sizes(model, shape.n);
  return batch_bytes(model) + aligned(size.outputs) + aligned(size.facts) +
         backend.setup_bytes(setup_of(model, shape, {}));
}

std::int64_t DeviceBatches::batch_bytes(const DeviceModel& model) {
  const Sizes size = sizes(model, 0);
  return aligned(size.input) + aligned(size.statistics);
}

DeviceBatches::DeviceBatches(DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape,
                             const preprocess::InputTables& tables, std::int64_t ahead, std::function<void()> idle)
    : backend_(backend),
      model_(model),
      n_(shape.n),
      pixels_(shape.pixels()),
      idle_(std::move(idle)),
      image_bytes_(preprocessed_bytes(model)) {
  const Sizes size = sizes(model, n_);
  for (std::int64_t i = 0; i < ahead; ++i) {
    Batch batch;
    batch.input = static_cast<std::byte*>(backend.allocate(size.input));
    if (size.statistics > 0) batch.statistics = static_cast<float*>(backend.allocate(size.statistics));
    batch.prepared = backend.make_event();
    batch.scored = backend.make_event();
    batches_.push_back(batch);
  }
  outputs_ = static_cast<float*>(backend.allocate(size.outputs));
  facts_ = static_cast<preprocess::ImageFacts*>(backend.allocate(size.facts));
  all_outputs_ = static_cast<float*>(
      backend.allocate_pinned(n_ * model.network.info.n_outputs * static_cast<std::int64_t>(sizeof(float))));
  all_facts_ = static_cast<preprocess::ImageFacts*>(backend.allocate_pinned(size.facts));
  backend.set_up(setup_of(model, shape, tables));
  for (int i = 0; i < kDepth; ++i) free_events_.push_back(backend.make_event());
}

void DeviceBatches::add(const float* images, std::int64_t n) {
  const std::int64_t batch = model_.network.info.batch;
  for (std::int64_t done = 0; done < n;) {
    const std::int64_t part = std::min(n - done, batch - filled_);
    const Batch& to = batches_[next_];
    if (filled_ == 0) backend_.wait(Queue::prepare, to.scored);
    float* beside = to.statistics == nullptr ? nullptr : to.statistics + filled_ * model_.network.info.n_statistics;
    backend_.prepare(images + done * pixels_, part, to.input + filled_ * image_bytes_, facts_ + taken_, beside);
    done += part;
    taken_ += part;
    filled_ += part;
    if (filled_ == batch) submit();
  }
}

void DeviceBatches::submit() {
  while (free_events_.empty()) {
    if (arrived(); free_events_.empty()) idle_();
  }
  const std::int64_t width = model_.network.info.n_outputs;
  const Batch& batch = batches_[next_];
  next_ = (next_ + 1) % batches_.size();
  backend_.record(batch.prepared, Queue::prepare);
  backend_.wait(Queue::score, batch.prepared);
  backend_.score(model_.network, batch.input, batch.statistics, outputs_);
  backend_.record(batch.scored, Queue::score);
  backend_.download(all_outputs_ + submitted_ * width, outputs_,
                    filled_ * width * static_cast<std::int64_t>(sizeof(float)));
  const DeviceBackend::Event event = free_events_.back();
  free_events_.pop_back();
  backend_.record(event, Queue::score);
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
  backend_.download(all_facts_, facts_, sizes(model_, n_).facts);
  backend_.finish();
  const auto width = static_cast<std::size_t>(model_.network.info.n_outputs);
  for (std::size_t k = 0; k < static_cast<std::size_t>(n_); ++k) {
    const std::size_t row = order[k];
    const bool blank = all_facts_[k].blank != 0;
    results.blank[row] = blank ? 1 : 0;
    float* to = results.outputs.data() + row * width;
    if (blank) {
      std::fill_n(to, width, 0.0F);
    } else {
      std::copy_n(all_outputs_ + k * width, width, to);
    }
  }
}

}  // namespace imn::pipeline
