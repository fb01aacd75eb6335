// NetworkHandle is the native object behind _core.Scorer, shared with the pipeline's bindings.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "score/network.h"

namespace imn::bindings {

struct NetworkHandle {
  std::unique_ptr<score::Network> network;
  std::mutex feeding;                        // held by the thread that feeds the network
  std::atomic<std::thread::id> feeder_id{};  // its id
};

// Makes the calling thread the feeder of the network. Construct it with the GIL released: the previous feeder may need
// the GIL to finish.
class FeedLock {
 public:
  explicit FeedLock(NetworkHandle& handle) : handle_(handle) {
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
  NetworkHandle& handle_;
};

}  // namespace imn::bindings
