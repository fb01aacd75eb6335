// Threads, progress, cancelling and the sample map: what the caller controls in either streaming loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"

namespace imn::pipeline {

// Timings and sizes of a loop by name, as run records list them.
using LoopValue = std::variant<double, std::int64_t, bool>;
using LoopFacts = std::vector<std::pair<std::string, LoopValue>>;

struct LoopControl {
  int threads = 0;  // 0: all cores
  // Called in the calling thread after every batch, and at least every 0.1 s while it waits, up to the first call with
  // done == total. May throw to stop the loop.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;  // set to true: the loop throws Cancelled
  // Sample map (height * width) of the section whose windows are scored, see ImageStack; null: unknown.
  const float* sample = nullptr;
};

// Reports to a LoopControl, which must outlive it.
class Progress {
 public:
  Progress(const LoopControl& control, std::int64_t total) : control_(control), total_(total) {}

  // `done` images so far. Throws Cancelled, or whatever the callback throws.
  void report(std::int64_t done) {
    throw_if_cancelled(control_.cancel);
    if (!control_.progress || reported_ == total_) return;
    reported_ = done;
    control_.progress(done, total_);
  }
  // n more images.
  void advance(std::int64_t n) { report(done_ += n); }

 private:
  const LoopControl& control_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  std::int64_t reported_ = 0;
};

}  // namespace imn::pipeline
