// Makes long native work stop on Ctrl-C.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <utility>

namespace imn::bindings {

// Runs work(cancel) in a new thread, without the GIL, while the calling thread checks for Python signals. After a
// signal, sets the flag, waits for the work (which throws Cancelled) and raises the signal's exception. `work` must not
// touch Python objects; the caller must hold all arrays that it reads or writes.
template <typename Work>
auto interruptible(Work&& work) {
  std::atomic<bool> cancel{false};
  std::optional<pybind11::error_already_set> signal;
  auto future = std::async(std::launch::async, [&] { return std::forward<Work>(work)(cancel); });
  {
    const pybind11::gil_scoped_release release;
    while (future.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
      const pybind11::gil_scoped_acquire acquire;
      if (!signal && PyErr_CheckSignals() != 0) {
        signal.emplace();
        cancel = true;
      }
    }
  }
  if (signal) {
    try {
      future.get();
    } catch (...) {  // the signal's exception takes precedence
    }
    throw std::move(*signal);
  }
  return future.get();
}

}  // namespace imn::bindings
