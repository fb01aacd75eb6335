// StripProducer: bins strips of windows in its own thread, at most two strips ahead of the consumer.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "images/mz_window.h"
#include "io/plane.h"
#include "pipeline/common/background_thread.h"

namespace imn::pipeline {

class StripProducer {
 public:
  struct Strip {
    const float* images = nullptr;
    std::int64_t first = 0;
    std::int64_t n = 0;
  };

  StripProducer(const io::Plane& plane, std::span<const images::MzWindow> windows, std::int64_t images_per_strip,
                int threads);
  ~StripProducer();  // stops the thread
  StripProducer(const StripProducer&) = delete;
  StripProducer& operator=(const StripProducer&) = delete;

  // The next strip if it is ready within `patience`, else n = 0. Rethrows what binning threw. The strip stays valid
  // until release(). finished() is true once the last strip has been taken.
  Strip wait_for(std::chrono::milliseconds patience);
  void release();
  bool finished() const { return taken_ == n_strips_; }
  std::int64_t strips() const { return n_strips_; }
  double bin_seconds() const;

 private:
  void run();
  std::int64_t strip_size(std::int64_t strip) const;

  const io::Plane& plane_;
  std::span<const images::MzWindow> windows_;
  std::int64_t images_per_strip_;
  std::int64_t pixels_;
  std::int64_t n_strips_;
  int threads_;

  std::array<std::unique_ptr<float[]>, 2> buffers_;
  std::int64_t taken_ = 0;  // consumer only
  // Shared with the thread, see BackgroundThread.
  std::int64_t binned_ = 0;    // strips ready
  std::int64_t released_ = 0;  // strips given back
  double bin_s_ = 0;
  BackgroundThread thread_;
};

}  // namespace imn::pipeline
