// ChunkReader: a thread of its own that keeps pinned buffers filled from a ChunkSource.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "pipeline/device_source.h"

namespace imn::pipeline {

class ChunkReader {
 public:
  struct Filled {
    std::size_t slot = 0;
    Chunk chunk;
  };

  // `may_fill(slot)`: whether what was copied from a released slot has been read; asked in the reader's thread.
  ChunkReader(ChunkSource& source, std::vector<std::byte*> slots, std::function<bool(std::size_t)> may_fill);
  ~ChunkReader();  // stops the thread
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  // The next chunk if it is there within `patience`; rethrows what reading threw. Its slot stays as it is until it is
  // released. Nothing and finished(): there are no more.
  std::optional<Filled> wait_for(std::chrono::milliseconds patience);
  void release(std::size_t slot);
  bool finished() const;
  double read_seconds() const;

 private:
  void run();
  bool wait_for_slot(std::size_t slot);

  ChunkSource& source_;
  std::vector<std::byte*> slots_;
  std::function<bool(std::size_t)> may_fill_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Filled> filled_;   // guarded by mutex_, as are those below
  std::vector<char> released_;  // slots that are not with the consumer
  bool ended_ = false;
  std::exception_ptr error_;
  double read_s_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace imn::pipeline
