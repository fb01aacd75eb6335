// Reads every spectrum and lists what is wrong, one entry a kind.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/plane.h"

namespace imn::io {

struct Problem {
  std::string message;     // of the first spectrum that has it
  std::int64_t count = 0;  // spectra
  std::int64_t first = 0;  // index of that spectrum
  bool is_error = true;    // false: readable, but worth knowing
};

struct ValidateOptions {
  int threads = 0;
  const std::atomic<bool>* cancel = nullptr;
  // Called with the number of spectra read, from one thread at a time.
  std::function<void(std::int64_t)> progress;
};

// Problems in the order of their first spectrum. Throws Cancelled.
std::vector<Problem> validate(const Plane& plane, const ValidateOptions& options);

}  // namespace imn::io
