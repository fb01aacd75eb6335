// One thread at a time feeds a network.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "core/error.h"

namespace imn::score {

struct Feeder {
  std::mutex feeding;                        // held by the thread that feeds the network
  std::atomic<std::thread::id> feeder_id{};  // its id
};

// Makes the calling thread the feeder; others wait. Throws ArgumentError if it is already: a callback of the network
// uses the same network.
class FeedLock {
 public:
  explicit FeedLock(Feeder& feeder) : feeder_(feeder) {
    if (feeder.feeder_id.load() == std::this_thread::get_id()) {
      throw ArgumentError("a scorer's callback must not use the same scorer");
    }
    feeder.feeding.lock();
    feeder.feeder_id = std::this_thread::get_id();
  }
  FeedLock(const FeedLock&) = delete;
  FeedLock& operator=(const FeedLock&) = delete;
  ~FeedLock() {
    feeder_.feeder_id = std::thread::id();
    feeder_.feeding.unlock();
  }

 private:
  Feeder& feeder_;
};

}  // namespace imn::score
