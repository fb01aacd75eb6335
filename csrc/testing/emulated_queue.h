// EmulatedQueue: a thread that runs tasks in order, as a stream of a device does.
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
  // seed != 0: it pauses before some tasks.
  explicit EmulatedQueue(std::uint64_t seed);
  ~EmulatedQueue();  // runs what is left
  EmulatedQueue(const EmulatedQueue&) = delete;
  EmulatedQueue& operator=(const EmulatedQueue&) = delete;

  // Work is left out once a task has failed; signals are given all the same.
  void work(std::function<void()> task) { push({std::move(task), false}); }
  void signal(std::function<void()> task) { push({std::move(task), true}); }
  // Waits until all tasks are done.
  void finish();
  // Rethrows what a task threw, every time.
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
  std::deque<Task> tasks_;  // guarded by mutex_, as are those below
  bool busy_ = false;
  bool stop_ = false;
  std::exception_ptr error_;
  std::uint64_t seed_;
  std::mt19937_64 random_;  // of the thread
  std::thread thread_;
};

}  // namespace imn::testing
