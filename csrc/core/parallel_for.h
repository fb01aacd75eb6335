// Data parallelism with exception transport.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace imn {

// Number of worker threads: `requested` if positive, else the number of cores this process may use (at least 1).
int thread_count(int requested);

// Calls body(begin, end, worker) over [0, n) in grains of at most `grain`; worker is in [0, thread_count(threads)).
// After the first exception no further grain is started, and it is rethrown here once all workers have ended.
// `cancel`, if given, is read before every grain; if it is true, Cancelled is thrown.
void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t, int)>& body,
                  const std::atomic<bool>* cancel = nullptr);

}  // namespace imn
