// What Python holds as _core.Scorer; the pipeline's binding takes it too.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "score/network.h"

namespace imn::bindings {

struct ScorerHandle {
  std::unique_ptr<score::Network> scorer;
  std::mutex feeding;                        // a scorer has one feeder at a time
  std::atomic<std::thread::id> feeder_id{};  // who that is
};

// Makes the calling thread the feeder. Take it with the GIL released: the feeder before may need the GIL to finish.
class FeedLock {
 public:
  explicit FeedLock(ScorerHandle& handle) : handle_(handle) {
    if (handle.feeder_id.load() == std::this_thread::get_id()) {
      throw ArgumentError("a scorer's callback must not use the same scorer");
    }
    handle.feeding.lock();
    handle.feeder_id = std::this_thread::get_id();
  }
  FeedLock(const FeedLock&) = delete;
  FeedLock& operator=(const FeedLock&) = delete;
  ~FeedLock() {
    handle_.feeder_id = std::thread::id();
    handle_.feeding.unlock();
  }

 private:
  ScorerHandle& handle_;
};

}  // namespace imn::bindings
