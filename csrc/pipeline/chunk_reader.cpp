#include "pipeline/chunk_reader.h"

#include <utility>

#include "core/stopwatch.h"

namespace imn::pipeline {

ChunkReader::ChunkReader(ChunkSource& source, std::vector<std::byte*> slots, std::function<bool(std::size_t)> may_fill)
    : source_(source), slots_(std::move(slots)), may_fill_(std::move(may_fill)), released_(slots_.size(), 1) {
  thread_ = std::thread([this] { run(); });
}

ChunkReader::~ChunkReader() {
  stop_ = true;
  changed_.notify_all();
  thread_.join();
}

bool ChunkReader::wait_for_slot(std::size_t slot) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    // Timed, because stop_ is set without the lock by the destructor.
    while (released_[slot] == 0 && !stop_) changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  // A copy takes a millisecond or so; the device does not call back when it is done.
  while (!stop_ && !may_fill_(slot)) std::this_thread::sleep_for(std::chrono::microseconds(20));
  return !stop_;
}

void ChunkReader::run() {
  try {
    for (std::size_t slot = 0;; slot = (slot + 1) % slots_.size()) {
      if (!wait_for_slot(slot)) return;
      Filled next{slot, {}};
      const Stopwatch working;
      const bool more = source_.fill(slots_[slot], next.chunk, stop_);
      const std::lock_guard<std::mutex> lock(mutex_);
      read_s_ += working.seconds();
      if (more) {
        released_[slot] = 0;
        filled_.push_back(next);
      } else {
        ended_ = true;
      }
      changed_.notify_all();
      if (!more) return;
    }
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

std::optional<ChunkReader::Filled> ChunkReader::wait_for(std::chrono::milliseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, patience, [this] { return !filled_.empty() || ended_ || error_; });
  if (!filled_.empty()) {
    const Filled next = filled_.front();
    filled_.pop_front();
    return next;
  }
  if (error_) std::rethrow_exception(error_);
  return std::nullopt;
}

void ChunkReader::release(std::size_t slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  released_[slot] = 1;
  changed_.notify_all();
}

bool ChunkReader::finished() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ended_ && filled_.empty();
}

double ChunkReader::read_seconds() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return read_s_;
}

}  // namespace imn::pipeline
