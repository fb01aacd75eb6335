#include "capi/engine_network.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace imn::capi {
namespace {

std::string bounded(const char* text, std::size_t room, const char* otherwise) {
  const std::string found(text, std::find(text, text + room, '\0'));
  return found.empty() ? otherwise : found;
}

void call(const imn_engine& engine, const float* images, const float* statistics, std::int64_t n, float* out) {
  const std::int32_t status = engine.score(engine.user, images, statistics, out, n, nullptr);
  if (status != 0) {
    throw CallbackError("engine '" + bounded(engine.name, sizeof engine.name, "custom") + "': score returned " +
                        std::to_string(status));
  }
}

// Slots are scored by threads of its own, in the order in which they become free.
class ThreadedNetwork final : public score::Network {
 public:
  ThreadedNetwork(score::NetworkInfo info, std::shared_ptr<const OwnedEngine> engine)
      : info_(std::move(info)), engine_(std::move(engine)) {
    const int parallel = engine_->get().parallel;
    const auto pixels = static_cast<std::size_t>(std::int64_t{info_.channels} * info_.height * info_.width);
    slots_.resize(static_cast<std::size_t>(parallel) + 1);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i].input.resize(static_cast<std::size_t>(info_.batch) * pixels);
      slots_[i].statistics.resize(static_cast<std::size_t>(std::int64_t{info_.batch} * info_.n_statistics));
      free_.push_back(static_cast<int>(i));
    }
    threads_.reserve(static_cast<std::size_t>(parallel));
    try {
      for (int i = 0; i < parallel; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadedNetwork() override { stop(); }

  const score::NetworkInfo& info() const override { return info_; }

  int acquire() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !free_.empty(); });
    rethrow();
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }
  float* input(int slot) override { return at(slot).input.data(); }
  float* statistics(int slot) override { return info_.n_statistics == 0 ? nullptr : at(slot).statistics.data(); }
  void submit(int slot, std::int64_t n, float* out) override {
    const std::lock_guard lock(mutex_);
    ready_.push_back({slot, n, out});
    changed_.notify_all();
  }
  void drain() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready_.empty() && running_ == 0; });
    rethrow();
  }
  void release(int slot) override {
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
    changed_.notify_all();
  }

 private:
  struct Slot {
    std::vector<float> input, statistics;
  };
  struct Job {
    int slot;
    std::int64_t n;
    float* out;
  };

  Slot& at(int slot) { return slots_[static_cast<std::size_t>(slot)]; }

  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !ready_.empty(); });
      if (stopping_) return;
      const Job job = ready_.front();
      ready_.erase(ready_.begin());
      ++running_;
      lock.unlock();
      std::exception_ptr failed;
      try {
        call(engine_->get(), at(job.slot).input.data(), statistics(job.slot), job.n, job.out);
      } catch (...) {
        failed = std::current_exception();
      }
      lock.lock();
      if (failed && !error_) error_ = failed;
      --running_;
      free_.push_back(job.slot);
      changed_.notify_all();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  score::NetworkInfo info_;
  std::shared_ptr<const OwnedEngine> engine_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<int> free_;
  std::vector<Job> ready_;
  int running_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace

score::NetworkInfo engine_info(const imn_engine& engine) {
  score::NetworkInfo info;
  info.name = bounded(engine.name, sizeof engine.name, "custom");
  info.precision = bounded(engine.precision, sizeof engine.precision, "f32");
  const std::string what = "engine '" + info.name + "': ";
  if (engine.score == nullptr) throw ArgumentError(what + "score is NULL");
  if (engine.memory != IMN_MEMORY_HOST && engine.memory != IMN_MEMORY_CUDA) {
    throw ArgumentError(what + "memory must be IMN_MEMORY_HOST or IMN_MEMORY_CUDA, not " +
                        std::to_string(engine.memory));
  }
  if (engine.memory == IMN_MEMORY_HOST && engine.dtype != IMN_F32) {
    throw ArgumentError(what + "images in host memory are IMN_F32, not dtype " + std::to_string(engine.dtype));
  }
  if (engine.dtype < IMN_F32 || engine.dtype > IMN_BF16) {
    throw ArgumentError(what + "unknown dtype " + std::to_string(engine.dtype));
  }
  constexpr std::int32_t kMost = 1 << 16;
  const std::pair<const char*, std::int32_t> sizes[] = {{"batch", engine.batch},
                                                        {"channels", engine.channels},
                                                        {"height", engine.height},
                                                        {"width", engine.width},
                                                        {"n_outputs", engine.n_outputs}};
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > kMost) {
      throw ArgumentError(what + name + " must be from 1 to " + std::to_string(kMost) + ", not " +
                          std::to_string(value));
    }
  }
  if (engine.n_statistics < 0 || engine.n_statistics > kMost) {
    throw ArgumentError(what + "n_statistics must not be " + std::to_string(engine.n_statistics));
  }
  if (engine.parallel < 0 || engine.parallel > 1024) {
    throw ArgumentError(what + "parallel must be from 0 to 1024, not " + std::to_string(engine.parallel));
  }
  info.device = engine.memory == IMN_MEMORY_CUDA ? "cuda:" + std::to_string(engine.device) : "cpu";
  info.batch = engine.batch;
  info.channels = engine.channels;
  info.height = engine.height;
  info.width = engine.width;
  info.n_outputs = engine.n_outputs;
  info.n_statistics = engine.n_statistics;
  return info;
}

std::unique_ptr<score::Network> make_engine_network(std::shared_ptr<const OwnedEngine> engine) {
  score::NetworkInfo info = engine_info(engine->get());
  if (engine->get().memory != IMN_MEMORY_HOST) throw ArgumentError("engine '" + info.name + "' is not for the host");
  if (engine->get().parallel > 0) return std::make_unique<ThreadedNetwork>(std::move(info), std::move(engine));
  return score::make_callback_network(info, [engine](const float* images, const float* statistics, std::int64_t n,
                                                     float* out) { call(engine->get(), images, statistics, n, out); });
}

score::DeviceNetwork make_engine_device_network(const std::shared_ptr<const OwnedEngine>& engine) {
  const score::NetworkInfo info = engine_info(engine->get());
  score::DeviceNetwork network;
  network.info.name = info.name;
  network.info.precision = info.precision;
  network.info.batch = info.batch;
  const std::int32_t dtype = engine->get().dtype;
  network.info.image_type = dtype == IMN_F16    ? preprocess::ElementType::f16
                            : dtype == IMN_BF16 ? preprocess::ElementType::bf16
                                                : preprocess::ElementType::f32;
  network.info.channels = info.channels;
  network.info.size = info.height;
  network.info.n_outputs = info.n_outputs;
  network.info.n_statistics = info.n_statistics;
  network.enqueue = [engine, info](const void* images, const float* statistics, float* outputs, void* stream) {
    const imn_engine& native = engine->get();
    const std::int32_t status = native.score(native.user, images, statistics, outputs, native.batch, stream);
    if (status != 0) {
      throw CallbackError("engine '" + info.name + "': score returned " + std::to_string(status));
    }
  };
  return network;
}

}  // namespace imn::capi
