// Data parallelism with exception transport.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace imn {

// Number of worker threads: `requested` if positive, else as many as this process may run on (at least 1).
int thread_count(int requested);

// Calls body(begin, end, worker) over [0, n) in chunks of at most `grain`; worker is in [0, thread_count(threads)).
// The first exception of any worker stops the handing out of chunks and is rethrown here once all have ended.
// `cancel`, where given, is read before every chunk; when true, Cancelled is thrown.
void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t, int)>& body,
                  const std::atomic<bool>* cancel = nullptr);

}  // namespace imn
