#include "core/parallel_for.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

namespace imn {

int thread_count(int requested) {
  if (requested > 0) return requested;
#ifdef __linux__
  // A batch job may be allowed a few of the machine's cores only; hardware_concurrency() counts them all.
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t, int)>& body, const std::atomic<bool>* cancel) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (n + grain - 1) / grain;
  const int workers = static_cast<int>(std::min<std::int64_t>(thread_count(threads), chunks));

  std::atomic<std::int64_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr first_error;
  std::mutex error_mutex;

  auto run = [&](int worker) {
    try {
      while (!stop.load(std::memory_order_relaxed)) {
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
        const std::int64_t chunk = next.fetch_add(1);
        if (chunk >= chunks) return;
        body(chunk * grain, std::min(n, (chunk + 1) * grain), worker);
      }
    } catch (...) {
      stop = true;
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!first_error) first_error = std::current_exception();
    }
  };

  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(workers - 1));
  // The caller works too; if a thread cannot be started, those that run finish the work.
  try {
    for (int w = 1; w < workers; ++w) pool.emplace_back(run, w);
  } catch (...) {
  }
  run(0);
  for (auto& thread : pool) thread.join();
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace imn
