#include "core/parallel_for.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <thread>
#include <vector>

#include "core/shared_job.h"

namespace imn {

int thread_count(int requested) {
  if (requested > 0) return requested;
#ifdef __linux__
  // A batch job may be restricted to a few cores, but hardware_concurrency() counts all of the machine.
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(std::int64_t n, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t, int)>& body, const std::atomic<bool>* cancel) {
  if (n <= 0) return;
  SharedJob job(n, grain, body, cancel);
  const int workers = static_cast<int>(std::min<std::int64_t>(thread_count(threads), job.grains()));

  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(workers - 1));
  // The caller works too. If a thread cannot be started, the running ones finish the work.
  try {
    for (int w = 1; w < workers; ++w) pool.emplace_back([&job, w] { job.work(w); });
  } catch (...) {
  }
  job.work(0);
  for (auto& thread : pool) thread.join();
  job.rethrow();
}

}  // namespace imn
