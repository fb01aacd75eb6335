#include "pipeline/device/probe.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pipeline/common/on_unwind.h"
#include "pipeline/device/strips.h"

namespace imn::pipeline {
namespace {

void* upload_all(DeviceBackend& backend, const void* from, std::int64_t bytes) {
  void* pinned = backend.allocate_pinned(bytes);
  std::copy_n(static_cast<const std::byte*>(from), bytes, static_cast<std::byte*>(pinned));
  void* data = backend.allocate(bytes);
  backend.upload(data, pinned, bytes);
  backend.finish();
  return data;
}

void download_all(DeviceBackend& backend, void* to, const void* from, std::int64_t bytes) {
  void* pinned = backend.allocate_pinned(bytes);
  backend.finish();  // `from` is written in another queue
  backend.download(pinned, from, bytes);
  backend.finish();
  std::copy_n(static_cast<const std::byte*>(pinned), bytes, static_cast<std::byte*>(to));
}

// Time of one repetition; the first one is not counted.
template <typename Work>
double measured(DeviceBackend& backend, int repeat, Work&& work) {
  work();
  if (repeat == 0) return 0.0;
  return backend.seconds([&] {
    for (int i = 0; i < repeat; ++i) work();
  }) / repeat;
}

}  // namespace

BinProbe bin_on_device(const io::Plane& plane, std::span<const images::MzWindow> windows, DeviceBackend& backend,
                       const MemoryLimits& limits, int threads, int repeat, std::span<float> out) {
  const std::int64_t pixels = std::int64_t{plane.geometry().width} * plane.geometry().height;
  const DeviceStrips strips(plane, windows, {}, limits, true);
  if (!strips.plan().resident && strips.size() > 0)
    throw ArgumentError("the file does not fit into the device memory limit");
  backend.set_windows(strips.windows());
  backend.set_factors(plane.image_factors());
  const auto source = strips.make_source(threads);
  const OnUnwind guard([&] { backend.finish(); });
  auto* pinned = static_cast<std::byte*>(backend.allocate_pinned(strips.plan().chunk_bytes));
  std::vector<ChunkOnDevice> chunks;
  BinProbe probe;
  const std::atomic<bool> stop{false};
  for (Chunk chunk; source->fill(pinned, chunk, stop);) {
    const std::int64_t bytes = layout_of(chunk).bytes;
    auto* data = static_cast<std::byte*>(backend.allocate(bytes));
    backend.upload(data, pinned, bytes);
    backend.finish();
    chunks.push_back({chunk, data});
    probe.chunk_bytes += bytes;
    probe.chunk_pixels.push_back(chunk.n);
  }
  const std::int64_t image_bytes = pixels * static_cast<std::int64_t>(sizeof(float));
  auto* images = static_cast<float*>(backend.allocate(strips.plan().images_per_strip * image_bytes));
  std::vector<float> strip_images(out.empty() ? 0 : static_cast<std::size_t>(strips.plan().images_per_strip * pixels));
  for (std::int64_t k = 0; k < strips.size(); ++k) {
    const images::WindowStrip strip = strips.at(k);
    backend.zero(images, strip.size() * image_bytes);
    probe.seconds += measured(backend, repeat, [&] { backend.bin(chunks, strip, images, pixels); });
    if (out.empty()) continue;
    download_all(backend, strip_images.data(), images, strip.size() * image_bytes);
    for (std::int32_t i = 0; i < strip.size(); ++i) {
      const auto row = static_cast<std::int64_t>(strips.order()[static_cast<std::size_t>(strip.first + i)]);
      std::copy_n(strip_images.data() + i * pixels, pixels, out.data() + row * pixels);
    }
  }
  backend.finish();
  return probe;
}

ReadProbe read_chunks(const io::Plane& plane, std::span<const images::MzWindow> windows, std::int64_t batch,
                      const MemoryLimits& limits, int threads) {
  const DeviceStrips strips(plane, windows, {.batch = batch}, limits);
  constexpr std::align_val_t kAlignment{ChunkLayout::kAlignment};
  const auto release = [](std::byte* data) { ::operator delete(data, kAlignment); };
  std::vector<std::unique_ptr<std::byte, decltype(release)>> slots;
  for (std::int64_t s = 0; s < kChunkSlots; ++s) {
    const auto size = static_cast<std::size_t>(strips.plan().chunk_bytes);
    slots.emplace_back(static_cast<std::byte*>(::operator new(size, kAlignment)), release);
    std::fill_n(slots.back().get(), size, std::byte{0xFF});  // touches the pages, as allocating pinned memory does
  }
  ReadProbe probe;
  const std::atomic<bool> stop{false};
  const Stopwatch watch;
  const auto source = strips.make_source(threads);
  const auto slot = [&] { return slots[static_cast<std::size_t>(probe.chunks % kChunkSlots)].get(); };
  for (Chunk chunk; source->fill(slot(), chunk, stop);) {
    if (probe.chunks++ == 0) probe.first_chunk_s = watch.seconds();
    probe.bytes += layout_of(chunk).bytes;
  }
  probe.seconds = watch.seconds();
  return probe;
}

PrepareProbe prepare_on_device(const ImageStack& stack, PrepareSetup setup, DeviceBackend& backend, int repeat) {
  PrepareProbe probe;
  if (stack.n == 0) return probe;
  setup.height = stack.height;
  setup.width = stack.width;
  setup.max_images = stack.n;
  setup.mask = stack.mask == nullptr
                   ? nullptr
                   : static_cast<const std::uint8_t*>(upload_all(backend, stack.mask, stack.pixels()));
  const preprocess::PackedTables tables(stack, setup.id);
  if (const auto bytes = tables.bytes(); !bytes.empty()) {
    setup.tables = tables.at(upload_all(backend, bytes.data(), static_cast<std::int64_t>(bytes.size())));
  }
  backend.set_up(setup);
  constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
  const auto* images = static_cast<const float*>(upload_all(backend, stack.data, stack.n * stack.pixels() * kFloat));
  probe.input.resize(static_cast<std::size_t>(stack.n * setup.id.values() * preprocess::element_bytes(setup.type)));
  probe.facts.resize(static_cast<std::size_t>(stack.n));
  probe.statistics.resize(static_cast<std::size_t>(stack.n) * setup.statistics.size());
  const auto input_bytes = static_cast<std::int64_t>(probe.input.size());
  const auto facts_bytes = stack.n * static_cast<std::int64_t>(sizeof(preprocess::ImageFacts));
  const auto statistics_bytes = static_cast<std::int64_t>(probe.statistics.size()) * kFloat;
  void* input = backend.allocate(input_bytes);
  auto* facts = static_cast<preprocess::ImageFacts*>(backend.allocate(facts_bytes));
  auto* statistics = statistics_bytes == 0 ? nullptr : static_cast<float*>(backend.allocate(statistics_bytes));
  probe.seconds = measured(backend, repeat, [&] { backend.prepare(images, stack.n, input, facts, statistics); });
  download_all(backend, probe.input.data(), input, input_bytes);
  download_all(backend, probe.facts.data(), facts, facts_bytes);
  if (statistics != nullptr) download_all(backend, probe.statistics.data(), statistics, statistics_bytes);
  return probe;
}

double copy_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat) {
  const void* from = backend.allocate(bytes);
  void* to = backend.allocate(bytes);
  return measured(backend, std::max(1, repeat), [&] { backend.copy(to, from, bytes); });
}

double upload_seconds(DeviceBackend& backend, std::int64_t bytes, int repeat) {
  const void* from = backend.allocate_pinned(bytes);
  void* to = backend.allocate(bytes);
  backend.upload(to, from, bytes);
  backend.finish();
  // Queue `copy` has no clock, so measure how long the host waits.
  const Stopwatch watch;
  for (int i = 0; i < repeat; ++i) backend.upload(to, from, bytes);
  backend.finish();
  return watch.seconds() / std::max(1, repeat);
}

}  // namespace imn::pipeline
