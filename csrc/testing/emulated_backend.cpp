#include "testing/emulated_backend.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <new>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/views.h"
#include "testing/emulate_bin.h"
#include "testing/emulated_queue.h"
#include "testing/preprocess_emulated.h"
#include "testing/statistics_emulated.h"

namespace imn::testing {
namespace {

using pipeline::ChunkOnDevice;
using pipeline::DeviceBackend;
using pipeline::PrepareSetup;
using pipeline::Queue;

// The values of an H100.
constexpr std::size_t kSharedBytes = 227 * 1024;
constexpr int kMultiprocessors = 132;
constexpr std::int64_t kFreeBytes = std::int64_t{1} << 30;

class Memory {
 public:
  Memory(std::int64_t bytes, int fill) : bytes_(static_cast<std::size_t>(bytes)) {
    data_ = ::operator new(bytes_, kAlignment);
    std::memset(data_, fill, bytes_);
  }
  ~Memory() { ::operator delete(data_, kAlignment); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{256};
  std::size_t bytes_;
  void* data_;
};

class EmulatedBackend final : public DeviceBackend {
 public:
  explicit EmulatedBackend(std::uint64_t seed)
      : seed_(seed), copy_(seed), prepare_(seed == 0 ? 0 : seed + 1), score_(seed == 0 ? 0 : seed + 2) {}

  std::string device() const override { return "emulated"; }
  std::int64_t free_bytes() const override { return kFreeBytes; }
  void* allocate(std::int64_t bytes) override {
    allocated_bytes_ += bytes;
    return memory_.emplace_back(bytes, 0).data();
  }
  std::int64_t allocated_bytes() const override { return allocated_bytes_; }
  // Filled with 0xFF, because pinned memory of a real device does not start as zeros either.
  void* allocate_pinned(std::int64_t bytes) override { return memory_.emplace_back(bytes, 0xFF).data(); }

  Event make_event() override {
    events_.emplace_back();
    return events_.size() - 1;
  }
  void record(Event event, Queue queue) override {
    Mark& mark = events_[event];
    const std::uint64_t turn = ++mark.recorded;
    of(queue).signal([&mark, turn] { mark.reached = turn; });
  }
  void wait(Queue queue, Event event) override {
    const Mark& mark = events_[event];
    const std::uint64_t turn = mark.recorded;
    // The other queue always reaches the event: it runs signals even after a failure.
    of(queue).signal([&mark, turn] {
      while (mark.reached < turn) std::this_thread::yield();
    });
  }
  bool reached(Event event) const override {
    const Mark& mark = events_[event];
    return mark.reached == mark.recorded;
  }
  void finish() override {
    for (EmulatedQueue* queue : {&copy_, &prepare_, &score_}) queue->finish();
    throw_if_failed();
  }

  double seconds(const std::function<void()>& task) override {
    finish();
    const Stopwatch watch;
    task();
    finish();
    return watch.seconds();
  }

  void upload(void* to, const void* from, std::int64_t bytes) override {
    work(Queue::copy, [=] { std::memcpy(to, from, static_cast<std::size_t>(bytes)); });
  }
  void download(void* to, const void* from, std::int64_t bytes) override {
    work(Queue::score, [=] { std::memcpy(to, from, static_cast<std::size_t>(bytes)); });
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    work(Queue::prepare, [=] { std::memcpy(to, from, static_cast<std::size_t>(bytes)); });
  }
  void zero(void* to, std::int64_t bytes) override {
    work(Queue::prepare, [=] { std::memset(to, 0, static_cast<std::size_t>(bytes)); });
  }

  void set_windows(const images::WindowPlan& windows) override { windows_ = &windows; }
  void set_factors(std::span<const double> factors) override { factors_.assign(factors.begin(), factors.end()); }

  void bin(std::span<const ChunkOnDevice> chunks, images::WindowStrip strip, float* images,
           std::int64_t pixels) override {
    const images::WindowPlan& plan = *windows_;
    work(Queue::prepare, [=, this, &plan, own = std::vector(chunks.begin(), chunks.end())] {
      const images::PlanView view{
          plan.windows.lo.data(), plan.windows.hi.data(), plan.reach.data(), plan.lut.data(), plan.cells,
          plan.first.data(),      plan.last.data()};
      const images::ImagesView out{images, pixels, factors_.empty() ? nullptr : factors_.data()};
      const auto bins = [&]<typename T>(const std::vector<images::ChunkView<images::BinsView<T>>>& views) {
        emulate_continuous<T>(view, strip, views, nullptr, out, seed_);
      };
      const auto peaks =
          [&]<typename M, typename T>(const std::vector<images::ChunkView<images::PeaksView<M, T>>>& views) {
            emulate_processed<M, T>(view, strip, views, out, seed_);
          };
      pipeline::with_chunk_views(own, plan, strip, bins, peaks);
    });
  }

  std::int64_t setup_bytes(const PrepareSetup&) const override { return 0; }
  void set_up(const PrepareSetup& setup) override { setup_ = setup; }

  void prepare(const float* images, std::int64_t n, void* input, preprocess::ImageFacts* facts,
               float* statistics) override {
    work(Queue::prepare, [=, this] {
      const ImageStack stack{images, n, setup_.height, setup_.width, setup_.mask};
      preprocess_emulated({stack, setup_.id, setup_.type, input, facts, setup_.tables}, kSharedBytes, seed_);
      if (statistics == nullptr) return;
      std::vector<float> all(static_cast<std::size_t>(n * score::kStatistics));
      statistics_emulated(stack, {kSharedBytes, kMultiprocessors, seed_}, all.data());
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < setup_.statistics.size(); ++k) {
          *(statistics + i * static_cast<std::int64_t>(setup_.statistics.size()) + static_cast<std::int64_t>(k)) =
              all[static_cast<std::size_t>(i * score::kStatistics) + static_cast<std::size_t>(setup_.statistics[k])];
        }
      }
    });
  }

  // A real device network enqueues its work here; an emulated one computes in the score queue.
  void score(const score::DeviceNetwork& network, const void* input, const float* statistics, float* outputs) override {
    work(Queue::score,
         [&network, input, statistics, outputs] { network.enqueue(input, statistics, outputs, nullptr); });
  }

 private:
  struct Mark {
    std::atomic<std::uint64_t> recorded{0};
    std::atomic<std::uint64_t> reached{0};
  };

  EmulatedQueue& of(Queue queue) { return queue == Queue::copy ? copy_ : queue == Queue::prepare ? prepare_ : score_; }
  void throw_if_failed() const {
    for (const EmulatedQueue* queue : {&copy_, &prepare_, &score_}) queue->throw_if_failed();
  }
  template <typename Task>
  void work(Queue queue, Task task) {
    throw_if_failed();
    of(queue).work(std::move(task));
  }

  std::uint64_t seed_;
  std::int64_t allocated_bytes_ = 0;
  const images::WindowPlan* windows_ = nullptr;
  std::vector<double> factors_;
  PrepareSetup setup_;
  std::deque<Memory> memory_;  // outlives the queues, which are declared later
  std::deque<Mark> events_;
  EmulatedQueue copy_, prepare_, score_;
};

}  // namespace

std::unique_ptr<pipeline::DeviceBackend> make_emulated_backend(std::uint64_t seed) {
  return std::make_unique<EmulatedBackend>(seed);
}

}  // namespace imn::testing
