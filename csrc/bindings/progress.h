// Calls Python's progress callback and checks for Ctrl-C in the thread that runs a scoring loop.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "bindings/python_types.h"

namespace imn::bindings {

// The loops call this after every batch and while waiting. It takes the GIL at most every 0.1 s, and once at the end.
class PythonProgress {
 public:
  explicit PythonProgress(Progress callback) : callback_(std::move(callback)) {}

  void operator()(std::int64_t done, std::int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (done < total && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const pybind11::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (callback_) (*callback_)(done, total);
  }

 private:
  Progress callback_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace imn::bindings
