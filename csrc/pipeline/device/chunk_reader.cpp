#include "pipeline/device/chunk_reader.h"

#include <thread>
#include <utility>

#include "core/stopwatch.h"

namespace imn::pipeline {

ChunkReader::ChunkReader(ChunkSource& source, std::vector<std::byte*> slots, std::function<bool(std::size_t)> may_fill)
    : source_(source), slots_(std::move(slots)), may_fill_(std::move(may_fill)), released_(slots_.size(), 1) {
  thread_.start([this] { run(); });
}

ChunkReader::~ChunkReader() { thread_.stop(); }

bool ChunkReader::wait_for_slot(std::size_t slot) {
  if (!thread_.wait([&] { return released_[slot] != 0; })) return false;
  // Polled: a device event cannot signal a condition variable. The copy it stands for takes about a millisecond.
  while (!thread_.stopping() && !may_fill_(slot)) std::this_thread::sleep_for(std::chrono::microseconds(20));
  return !thread_.stopping();
}

void ChunkReader::run() {
  for (std::size_t slot = 0;; slot = (slot + 1) % slots_.size()) {
    if (!wait_for_slot(slot)) return;
    Filled next{slot, {}};
    const Stopwatch working;
    const bool more = source_.fill(slots_[slot], next.chunk, thread_.stopping());
    thread_.change([&] {
      read_s_ += working.seconds();
      if (more) {
        released_[slot] = 0;
        filled_.push_back(next);
      } else {
        ended_ = true;
      }
    });
    if (!more) return;
  }
}

std::optional<ChunkReader::Filled> ChunkReader::wait_for(std::chrono::milliseconds patience) {
  const auto take = [this]() -> std::optional<Filled> {
    if (filled_.empty()) return std::nullopt;
    const Filled next = filled_.front();
    filled_.pop_front();
    return next;
  };
  return thread_.wait_for(patience, [this] { return ended_ || !filled_.empty(); }, take);
}

void ChunkReader::release(std::size_t slot) {
  thread_.change([&] { released_[slot] = 1; });
}

bool ChunkReader::finished() const {
  return thread_.read([this] { return ended_ && filled_.empty(); });
}

double ChunkReader::read_seconds() const {
  return thread_.read([this] { return read_s_; });
}

}  // namespace imn::pipeline
