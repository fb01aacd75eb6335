#include "core/workers.h"

#include <algorithm>
#include <exception>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn {

// One run: its chunks are handed out one after the other.
class Workers::Job {
 public:
  Job(std::int64_t n, std::int64_t grain, const Body& body, const std::atomic<bool>* cancel)
      : n_(n), grain_(std::max<std::int64_t>(1, grain)), body_(body), cancel_(cancel) {}

  bool single() const { return n_ <= grain_; }

  void work(int worker) {
    try {
      while (!stop_.load(std::memory_order_relaxed)) {
        if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) throw Cancelled();
        const std::int64_t begin = next_.fetch_add(grain_);
        if (begin >= n_) return;
        body_(begin, std::min(n_, begin + grain_), worker);
      }
    } catch (...) {
      stop_ = true;
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::int64_t n_, grain_;
  const Body& body_;
  const std::atomic<bool>* cancel_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

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
  // The caller works too; if a thread cannot be started, those that run do the work.
  try {
    for (int w = 1; w < size_; ++w) threads_.emplace_back([this, w] { serve(w); });
  } catch (...) {
  }
}

void Workers::serve(int worker) {
  std::uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    begun_.wait(lock, [&] { return stop_ || (job_ != nullptr && turn_ != seen); });
    if (stop_) return;
    seen = turn_;
    Job& job = *job_;
    ++inside_;
    lock.unlock();
    job.work(worker);
    lock.lock();
    if (--inside_ == 0) left_.notify_one();
  }
}

void Workers::run(std::int64_t n, std::int64_t grain, const Body& body, const std::atomic<bool>* cancel) {
  if (n <= 0) return;
  Job job(n, grain, body, cancel);
  if (job.single()) {
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
  {
    // Whoever has not joined by now finds no job.
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    left_.wait(lock, [this] { return inside_ == 0; });
  }
  job.rethrow();
}

}  // namespace imn
