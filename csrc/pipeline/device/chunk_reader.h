// ChunkReader: keeps pinned buffers filled from a ChunkSource, in its own thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "pipeline/common/background_thread.h"
#include "pipeline/device/chunk_source.h"

namespace imn::pipeline {

class ChunkReader {
 public:
  struct Filled {
    std::size_t slot = 0;
    Chunk chunk;
  };

  // `may_fill(slot)`: whether the device has finished reading what was copied from a released slot. Called in the
  // reader's thread.
  ChunkReader(ChunkSource& source, std::vector<std::byte*> slots, std::function<bool(std::size_t)> may_fill);
  ~ChunkReader();  // stops the thread
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  // The next chunk if it is ready within `patience`. Rethrows what reading threw. Its slot stays as it is until it is
  // released. finished() is true once the last chunk has been taken.
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

  // Shared with the thread, see BackgroundThread.
  std::deque<Filled> filled_;
  std::vector<char> released_;  // slots that the consumer does not hold
  bool ended_ = false;
  double read_s_ = 0;
  BackgroundThread thread_;
};

}  // namespace imn::pipeline
