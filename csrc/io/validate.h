// Reads every spectrum and lists the problems, one entry per kind.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/plane.h"

namespace imn::io {

struct Problem {
  std::string message;     // as for the first spectrum affected
  std::int64_t count = 0;  // spectra affected
  std::int64_t first = 0;  // index in the file of the first one
  bool is_error = true;    // false: a warning, the spectrum can be read
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
