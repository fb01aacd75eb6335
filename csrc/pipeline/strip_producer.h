// StripProducer: bins strips of windows in a thread of its own, two buffers ahead at most.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "images/mz_window.h"
#include "io/dataset.h"

namespace imn::pipeline {

class StripProducer {
 public:
  struct Strip {
    const float* images = nullptr;
    std::int64_t first = 0;
    std::int64_t n = 0;
  };

  StripProducer(const io::Dataset& dataset, std::span<const images::MzWindow> windows, std::int64_t images_per_strip,
                int threads);
  ~StripProducer();  // stops the thread
  StripProducer(const StripProducer&) = delete;
  StripProducer& operator=(const StripProducer&) = delete;

  // The next strip if it is there within `patience`, else n = 0; rethrows what binning threw. It stays valid until
  // release(). After the last strip finished() is true.
  Strip wait_for(std::chrono::milliseconds patience);
  void release();
  bool finished() const { return taken_ == n_strips_; }
  std::int64_t strips() const { return n_strips_; }
  double bin_seconds() const;

 private:
  void run();
  std::int64_t strip_size(std::int64_t strip) const;

  const io::Dataset& dataset_;
  std::span<const images::MzWindow> windows_;
  std::int64_t images_per_strip_;
  std::int64_t pixels_;
  std::int64_t n_strips_;
  int threads_;

  std::array<std::unique_ptr<float[]>, 2> buffers_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t binned_ = 0;    // strips ready, guarded by mutex_
  std::int64_t released_ = 0;  // strips given back, guarded by mutex_
  std::exception_ptr error_;   // guarded by mutex_
  double bin_s_ = 0;           // guarded by mutex_
  std::int64_t taken_ = 0;     // consumer only
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace imn::pipeline
