#include "capi/forks.h"

#include <atomic>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace imn::capi {

namespace {

thread_local std::int64_t calls_of_thread = 0;
std::atomic<std::int64_t> calls{0};
std::atomic<std::uint64_t> forks{0};
// Objects made at an earlier count do not work: a call was under way when the process was forked.
std::atomic<std::uint64_t> usable_from{0};

#ifndef _WIN32
bool busy = false;
void (*lock_table)() = nullptr;
void (*unlock_table)() = nullptr;

void before() {
  lock_table();
  busy = calls > 0;
}

void in_child() {
  unlock_table();
  ++forks;
  if (busy) usable_from = forks.load();
  calls = calls_of_thread;
}
#endif

}  // namespace

InCall::InCall() noexcept {
  ++calls_of_thread;
  ++calls;
}

InCall::~InCall() {
  --calls;
  --calls_of_thread;
}

void watch_forks(void (*lock)(), void (*unlock)()) {
#ifndef _WIN32
  lock_table = lock;
  unlock_table = unlock;
  ::pthread_atfork(before, unlock_table, in_child);
#else
  (void)lock, (void)unlock;
#endif
}

std::uint64_t fork_count() noexcept { return forks; }

bool survives_forks(std::uint64_t made_at, bool threaded) noexcept {
  return made_at >= (threaded ? forks : usable_from);
}

}  // namespace imn::capi
