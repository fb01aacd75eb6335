#include "testing/emulated_queue.h"

#include <chrono>
#include <utility>

namespace imn::testing {

EmulatedQueue::EmulatedQueue(std::uint64_t seed) : seed_(seed), random_(seed) {
  thread_ = std::thread([this] { run(); });
}

EmulatedQueue::~EmulatedQueue() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void EmulatedQueue::push(Task task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void EmulatedQueue::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    const bool wanted = task.always || !error_;
    busy_ = true;
    lock.unlock();
    std::exception_ptr failed;
    if (wanted) {
      if (seed_ != 0 && random_() % 4 == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(static_cast<std::int64_t>(random_() % 2000)));
      }
      try {
        task.run();
      } catch (...) {
        failed = std::current_exception();
      }
    }
    lock.lock();
    if (failed && !error_) error_ = failed;
    busy_ = false;
    changed_.notify_all();
  }
}

void EmulatedQueue::finish() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.empty() && !busy_; });
}

void EmulatedQueue::throw_if_failed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

}  // namespace imn::testing
