// Ctrl-C during long native work.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <utility>

namespace imn::bindings {

// Runs work(cancel) in a thread of its own, without the GIL, while this thread looks for Python signals. On a signal
// the flag is set, the work is awaited (it throws Cancelled) and the signal's exception is raised. `work` must not
// touch Python objects; arrays it reads or writes must be held by the caller.
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
    } catch (...) {  // the signal is the news
    }
    throw std::move(*signal);
  }
  return future.get();
}

}  // namespace imn::bindings
