#include "pipeline/device/loop.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pipeline/common/measured_mask.h"
#include "pipeline/common/on_unwind.h"
#include "pipeline/device/chunk_reader.h"
#include "pipeline/device/chunk_source.h"
#include "pipeline/device/strips.h"

namespace imn::pipeline {
namespace {

class Loop {
 public:
  // `strips`: null if the chunks contain images.
  Loop(DeviceBackend& backend, const DeviceModel& model, const DeviceOptions& options, const DevicePlan& plan,
       const ImageStack& shape, const preprocess::InputTables& tables, const DeviceStrips* strips)
      : backend_(backend),
        progress_(options, shape.n),
        plan_(plan),
        shape_(shape),
        strips_(strips),
        batches_(backend, model, shape, tables, plan.batches_ahead, [this] { idle(); }) {
    for (std::int64_t s = 0; s < kChunkSlots; ++s) {
      pinned_.push_back(static_cast<std::byte*>(backend.allocate_pinned(plan.chunk_bytes)));
      uploaded_.push_back(backend.make_event());
    }
    for (std::int64_t s = 0; !plan.resident && s < plan.device_chunks; ++s) {
      device_.push_back(static_cast<std::byte*>(backend.allocate(plan.chunk_bytes)));
      consumed_.push_back(backend.make_event());
    }
    if (strips != nullptr) {
      images_ = static_cast<float*>(
          backend.allocate(plan.images_per_strip * shape.pixels() * static_cast<std::int64_t>(sizeof(float))));
    }
    timings_.images_per_strip = strips != nullptr ? plan.images_per_strip : 0;
    timings_.strips = strips != nullptr ? strips->size() : 0;
    timings_.chunk_bytes = plan.chunk_bytes;
    timings_.batches_ahead = plan.batches_ahead;
    timings_.device_chunks = static_cast<std::int64_t>(device_.size());
    timings_.resident = plan.resident;
  }

  DeviceTimings run(ChunkSource& source, const Results& results, std::span<const std::size_t> order) {
    const Stopwatch total;
    {
      ChunkReader reader(source, pinned_, [this](std::size_t slot) { return backend_.reached(uploaded_[slot]); });
      while (!reader.finished()) {
        const Stopwatch waiting;
        const auto filled = reader.wait_for(std::chrono::milliseconds(20));
        timings_.wait_for_data_s += waiting.seconds();
        if (filled) take(*filled, reader);
        tick();
      }
      batches_.finish(results, order);
      timings_.read_s = reader.read_seconds();
      timings_.device_bytes = backend_.allocated_bytes();
    }
    tick();
    timings_.total_s = total.seconds();
    return timings_;
  }

 private:
  void take(const ChunkReader::Filled& filled, ChunkReader& reader) {
    const Chunk& chunk = filled.chunk;
    const std::int64_t bytes = layout_of(chunk).bytes;
    const auto slot = static_cast<std::size_t>(timings_.chunks % plan_.device_chunks);
    std::byte* on_device = plan_.resident ? static_cast<std::byte*>(backend_.allocate(bytes)) : device_[slot];
    if (!plan_.resident) backend_.wait(Queue::copy, consumed_[slot]);
    backend_.upload(on_device, pinned_[filled.slot], bytes);
    backend_.record(uploaded_[filled.slot], Queue::copy);
    backend_.wait(Queue::prepare, uploaded_[filled.slot]);
    reader.release(filled.slot);
    ++timings_.chunks;
    timings_.uploaded_bytes += bytes;

    if (strips_ == nullptr) {
      batches_.add(reinterpret_cast<const float*>(on_device), chunk.n);
    } else if (plan_.resident) {
      resident_.push_back({chunk, on_device});
      if (chunk.ends_strip) score_resident();
      return;
    } else {
      if (chunk.first == 0) clear(chunk.strip);
      const ChunkOnDevice one{chunk, on_device};
      backend_.bin({&one, 1}, strips_->at(chunk.strip), images_, shape_.pixels());
      if (chunk.ends_strip) batches_.add(images_, strips_->at(chunk.strip).size());
    }
    backend_.record(consumed_[slot], Queue::prepare);
  }

  void score_resident() {
    for (std::int64_t strip = 0; strip < strips_->size(); ++strip) {
      clear(strip);
      backend_.bin(resident_, strips_->at(strip), images_, shape_.pixels());
      batches_.add(images_, strips_->at(strip).size());
      tick();
    }
  }

  // Sets pixels without a spectrum to 0; the chunks write the others.
  void clear(std::int64_t strip) {
    if (shape_.mask == nullptr) return;
    const std::int64_t n = strips_->at(strip).size();
    backend_.zero(images_, n * shape_.pixels() * static_cast<std::int64_t>(sizeof(float)));
  }

  void tick() { progress_.report(batches_.arrived()); }

  void idle() {
    const Stopwatch waiting;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    tick();
    timings_.wait_for_device_s += waiting.seconds();
  }

  DeviceBackend& backend_;
  Progress progress_;
  DevicePlan plan_;
  ImageStack shape_;  // n: of all images; data: none; mask: on the device; sample: unused
  const DeviceStrips* strips_;
  DeviceBatches batches_;
  std::vector<std::byte*> pinned_, device_;
  std::vector<DeviceBackend::Event> uploaded_, consumed_;
  std::vector<ChunkOnDevice> resident_;
  float* images_ = nullptr;  // one strip
  DeviceTimings timings_;
};

void check_size(const ImageStack& shape) {
  if (shape.height <= 0 || shape.width <= 0) throw ArgumentError("images must have at least one pixel");
}

// Copies bytes to the device and waits until they are there.
const void* to_device(DeviceBackend& backend, std::span<const std::byte> bytes) {
  const auto n = static_cast<std::int64_t>(bytes.size());
  void* pinned = backend.allocate_pinned(n);
  std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(pinned));
  void* data = backend.allocate(n);
  backend.upload(data, pinned, n);
  backend.finish();
  return data;
}

const std::uint8_t* mask_to_device(DeviceBackend& backend, const std::uint8_t* mask, std::int64_t pixels) {
  return static_cast<const std::uint8_t*>(
      to_device(backend, std::as_bytes(std::span(mask, static_cast<std::size_t>(pixels)))));
}

preprocess::InputTables tables_to_device(DeviceBackend& backend, const preprocess::PackedTables& tables) {
  return tables.bytes().empty() ? preprocess::InputTables{} : tables.at(to_device(backend, tables.bytes()));
}

ScoringNeeds needs_of(const DeviceBackend& backend, const DeviceModel& model, const ImageStack& shape,
                      const preprocess::PackedTables& tables) {
  return {model.network.info.batch,
          DeviceBatches::device_bytes(backend, model, shape) + aligned(shape.pixels()) +
              aligned(static_cast<std::int64_t>(tables.bytes().size())),
          DeviceBatches::batch_bytes(model)};
}

}  // namespace

DeviceTimings score_windows_on_device(const io::Plane& plane, std::span<const images::MzWindow> windows,
                                      const DeviceModel& model, DeviceBackend& backend, const DeviceOptions& options,
                                      const Results& results) {
  const auto n = static_cast<std::int64_t>(windows.size());
  check_device_model(model);
  check_results(n, model.network.info.n_outputs, results);
  if (n == 0) return {};
  ImageStack shape{nullptr, n, plane.geometry().height, plane.geometry().width, nullptr, options.sample};
  check_size(shape);
  const preprocess::PackedTables tables(shape, model.id);

  const std::vector<std::uint8_t> mask = measured_mask(plane);
  if (!mask.empty()) shape.mask = mask_to_device(backend, mask.data(), shape.pixels());
  const DeviceStrips strips(plane, windows, needs_of(backend, model, shape, tables), options.limits);
  backend.set_windows(strips.windows());
  backend.set_factors(plane.image_factors());
  const auto source = strips.make_source(options.threads);
  const OnUnwind guard([&] { backend.finish(); });
  Loop loop(backend, model, options, strips.plan(), shape, tables_to_device(backend, tables), &strips);
  const DeviceTimings timings = loop.run(*source, results, strips.order());
  plane.spectra().require_size();
  return timings;
}

DeviceTimings score_stack_on_device(const ImageStack& stack, const DeviceModel& model, DeviceBackend& backend,
                                    const DeviceOptions& options, const Results& results) {
  check_device_model(model);
  check_results(stack.n, model.network.info.n_outputs, results);
  if (stack.n == 0) return {};
  check_size(stack);
  ImageStack shape{nullptr, stack.n, stack.height, stack.width, nullptr, stack.sample};
  const preprocess::PackedTables tables(shape, model.id);
  if (stack.mask != nullptr) shape.mask = mask_to_device(backend, stack.mask, stack.pixels());
  DeviceWork work;
  work.scoring = needs_of(backend, model, shape, tables);
  work.n = shape.n;
  work.pixels = shape.pixels();
  work.largest_item = shape.pixels() * static_cast<std::int64_t>(sizeof(float));
  work.images_in_chunks = true;
  const DevicePlan plan = plan_device_loop(work, options.limits);
  const auto source = make_stack_source(stack, {plan.chunk_bytes, options.threads});
  std::vector<std::size_t> order(static_cast<std::size_t>(stack.n));
  std::iota(order.begin(), order.end(), std::size_t{0});
  const OnUnwind guard([&] { backend.finish(); });
  Loop loop(backend, model, options, plan, shape, tables_to_device(backend, tables), nullptr);
  return loop.run(*source, results, order);
}

LoopFacts facts(const DeviceTimings& t) {
  return {{"read_s", t.read_s},
          {"wait_for_data_s", t.wait_for_data_s},
          {"wait_for_device_s", t.wait_for_device_s},
          {"total_s", t.total_s},
          {"strips", t.strips},
          {"images_per_strip", t.images_per_strip},
          {"batches_ahead", t.batches_ahead},
          {"chunks", t.chunks},
          {"chunk_bytes", t.chunk_bytes},
          {"device_chunks", t.device_chunks},
          {"uploaded_bytes", t.uploaded_bytes},
          {"device_bytes", t.device_bytes},
          {"resident", t.resident}};
}

}  // namespace imn::pipeline
