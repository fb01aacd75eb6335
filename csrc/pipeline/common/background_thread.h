// BackgroundThread: a thread that works ahead of its consumer, with one lock and one condition between the two.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace imn::pipeline {

// State that both sides touch is changed in change() and read in wait(), wait_for() or read(), all under the lock;
// change() and stop() notify while they hold it. A wake-up therefore cannot be lost, and no wait needs a timer.
class BackgroundThread {
 public:
  BackgroundThread() = default;
  BackgroundThread(const BackgroundThread&) = delete;
  BackgroundThread& operator=(const BackgroundThread&) = delete;
  ~BackgroundThread() { stop(); }

  // Runs body() in the thread. Its exception is rethrown by the consumer's wait_for().
  template <typename Body>
  void start(Body body) {
    thread_ = std::thread([this, body = std::move(body)]() mutable {
      try {
        body();
      } catch (...) {
        change([this] { error_ = std::current_exception(); });
      }
    });
  }

  // Wakes the thread if it waits, and joins it. The owner calls this before it destroys what body() uses.
  void stop() {
    change([this] { stopping_ = true; });
    if (thread_.joinable()) thread_.join();
  }

  // For body(): pass this on to long work as its cancel flag.
  const std::atomic<bool>& stopping() const { return stopping_; }

  template <typename Change>
  void change(Change&& change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    change();
    changed_.notify_all();
  }

  template <typename Read>
  auto read(Read&& read) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return read();
  }

  // For body(): waits until ready(). Returns false if the thread is to stop.
  template <typename Ready>
  bool wait(Ready&& ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || ready(); });
    return !stopping_;
  }

  // For the consumer, which has progress and a cancel flag to look after: waits at most `patience` until ready() and
  // then returns take(), or a default-constructed result otherwise. Throws what body() threw once nothing is ready.
  template <typename Ready, typename Take>
  auto wait_for(std::chrono::milliseconds patience, Ready&& ready, Take&& take) -> decltype(take()) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return error_ || ready(); });
    if (ready()) return take();
    if (error_) std::rethrow_exception(error_);
    return {};
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr error_;           // guarded by mutex_
  std::atomic<bool> stopping_{false};  // set under mutex_
  std::thread thread_;
};

}  // namespace imn::pipeline
