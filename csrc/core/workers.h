// Workers: parallel_for with permanent threads, for callers that run it every few milliseconds. Between runs and at the
// end of one, threads spin briefly before they sleep, because waking many of them takes as long as a short run.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace imn {

class SharedJob;

class Workers {
 public:
  using Body = std::function<void(std::int64_t, std::int64_t, int)>;

  // 0: as many threads as parallel_for uses. They start with the first run().
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int size() const { return size_; }

  // Like parallel_for; may be called by one thread at a time.
  void run(std::int64_t n, std::int64_t grain, const Body& body, const std::atomic<bool>* cancel = nullptr);

 private:
  void start();
  void serve(int worker);

  int size_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable begun_, left_;
  SharedJob* job_ = nullptr;  // guarded by mutex_, like the members below; null: nothing to join
  bool stop_ = false;
  // Written under mutex_, read without it while spinning.
  std::atomic<std::uint64_t> turn_{0};  // of the job
  std::atomic<int> inside_{0};          // threads that have joined it
};

}  // namespace imn
