// SharedJob: the loop that parallel_for and Workers share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

#include "core/error.h"

namespace imn {

// One run of parallel_for: the threads that work on it take its grains one after the other.
class SharedJob {
 public:
  using Body = std::function<void(std::int64_t, std::int64_t, int)>;

  SharedJob(std::int64_t n, std::int64_t grain, const Body& body, const std::atomic<bool>* cancel)
      : n_(n),
        grain_(std::max<std::int64_t>(1, grain)),
        grains_(n <= 0 ? 0 : (n - 1) / grain_ + 1),
        body_(body),
        cancel_(cancel) {}

  std::int64_t grains() const { return grains_; }

  void work(int worker) {
    try {
      while (!stop_.load(std::memory_order_relaxed)) {
        if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) throw Cancelled();
        const std::int64_t k = next_.fetch_add(1);
        if (k >= grains_) return;
        body_(k * grain_, k + 1 == grains_ ? n_ : (k + 1) * grain_, worker);
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
  std::int64_t n_, grain_, grains_;
  const Body& body_;
  const std::atomic<bool>* cancel_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace imn
