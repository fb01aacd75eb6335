#include "core/workers.h"

#include <chrono>

#include "core/parallel_for.h"
#include "core/shared_job.h"

namespace imn {
namespace {

// Spins until `ready`, or until sleeping is cheaper. On a busy machine other threads run meanwhile.
template <typename Ready>
void spin(const Ready& ready) {
  constexpr std::chrono::microseconds kPatience{50};
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!ready() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

}  // namespace

Workers::Workers(int threads) : size_(thread_count(threads)) {}

Workers::~Workers() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  begun_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::start() {
  if (!threads_.empty()) return;
  threads_.reserve(static_cast<std::size_t>(size_ - 1));
  // The caller works too. If a thread cannot be started, the running ones finish the work.
  try {
    for (int w = 1; w < size_; ++w) threads_.emplace_back([this, w] { serve(w); });
  } catch (...) {
  }
}

void Workers::serve(int worker) {
  for (std::uint64_t seen = 0;;) {
    spin([&] { return turn_ != seen; });
    std::unique_lock<std::mutex> lock(mutex_);
    begun_.wait(lock, [&] { return stop_ || (job_ != nullptr && turn_ != seen); });
    if (stop_) return;
    seen = turn_;
    SharedJob& job = *job_;
    ++inside_;
    lock.unlock();
    job.work(worker);
    lock.lock();
    if (--inside_ == 0) left_.notify_one();
  }
}

void Workers::run(std::int64_t n, std::int64_t grain, const Body& body, const std::atomic<bool>* cancel) {
  if (n <= 0) return;
  SharedJob job(n, grain, body, cancel);
  if (job.grains() == 1) {
    job.work(0);
    return job.rethrow();
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    job_ = &job;
    ++turn_;
  }
  begun_.notify_all();
  start();
  job.work(0);
  spin([this] { return inside_ == 0; });
  {
    // Threads that have not joined by now find no job.
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    left_.wait(lock, [this] { return inside_ == 0; });
  }
  job.rethrow();
}

}  // namespace imn
