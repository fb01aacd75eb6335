// EmulatedQueue runs tasks in order in a thread, like a stream of a device.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

namespace imn::testing {

class EmulatedQueue {
 public:
  // If seed != 0, the queue pauses before random tasks.
  explicit EmulatedQueue(std::uint64_t seed);
  ~EmulatedQueue();  // runs the remaining tasks
  EmulatedQueue(const EmulatedQueue&) = delete;
  EmulatedQueue& operator=(const EmulatedQueue&) = delete;

  // Work is skipped after a task has failed; signals always run.
  void work(std::function<void()> task) { push({std::move(task), false}); }
  void signal(std::function<void()> task) { push({std::move(task), true}); }
  // Waits until all tasks are done.
  void finish();
  // Rethrows the first exception of a task, on every call.
  void throw_if_failed() const;

 private:
  struct Task {
    std::function<void()> run;
    bool always;
  };

  void push(Task task);
  void run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;  // guarded by mutex_, as are busy_, stop_ and error_
  bool busy_ = false;
  bool stop_ = false;
  std::exception_ptr error_;
  std::uint64_t seed_;
  std::mt19937_64 random_;  // used by the thread only
  std::thread thread_;
};

}  // namespace imn::testing
