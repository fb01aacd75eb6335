// OnUnwind: clean-up that runs only when an exception leaves the scope.
#pragma once

#include <exception>
#include <utility>

namespace imn::pipeline {

// Scorers and devices keep writing to the caller's memory while an exception unwinds; the clean-up makes them stop
// first. Declare the guard after everything that work uses, so that it runs before any of it is destroyed.
template <typename Cleanup>
class OnUnwind {
 public:
  explicit OnUnwind(Cleanup cleanup) : cleanup_(std::move(cleanup)) {}
  OnUnwind(const OnUnwind&) = delete;
  OnUnwind& operator=(const OnUnwind&) = delete;
  ~OnUnwind() {
    if (std::uncaught_exceptions() == before_) return;
    try {
      cleanup_();
    } catch (...) {  // the exception under way is the one to report
    }
  }

 private:
  Cleanup cleanup_;
  int before_ = std::uncaught_exceptions();
};

}  // namespace imn::pipeline
