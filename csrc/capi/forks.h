// Children of fork(): which objects of the parent still work in them.
//
// A child has one thread only. Threads that scored in the parent are gone, and a lock that another thread held stays
// locked for ever. So scorers are refused in a child, and everything is if a call was under way when it was forked.
#pragma once

#include <cstdint>

namespace imn::capi {

// Counts a call that is under way in this thread.
class InCall {
 public:
  InCall() noexcept;
  ~InCall();
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
};

// Called once, with functions that take and release the lock which a child needs.
void watch_forks(void (*lock)(), void (*unlock)());

// Number of forks that led to this process: what an object remembers of its time.
std::uint64_t fork_count() noexcept;

// Whether objects that were made at that count work here; `threaded`: with threads of their own.
bool survives_forks(std::uint64_t made_at, bool threaded) noexcept;

}  // namespace imn::capi
