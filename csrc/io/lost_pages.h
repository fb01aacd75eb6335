// Reading a mapped page that no longer exists (the file was truncated, its drive disconnected) raises a signal that
// ends the process. In a watched mapping such pages read as zeros instead, and the mapping is marked so that the reader
// can report an error. Signals with other causes are passed to the previous handler. A handler installed later, for
// example by faulthandler.enable() after the first file was opened, replaces this one; the process then ends as it
// would without it.
#pragma once

#include <atomic>
#include <cstddef>

namespace imn::io {

class LostPages {
 public:
  // The mapping must outlive the object. On systems without such a signal, nothing is watched.
  LostPages(const std::byte* data, std::size_t size);
  ~LostPages();
  LostPages(const LostPages&) = delete;
  LostPages& operator=(const LostPages&) = delete;

  // Whether a page could not be read. If so, values read before this call may be zeros.
  bool any() const { return slot_ != nullptr && slot_->lost.load(std::memory_order_acquire); }

  // The signal handler reads slots, so they are reused but never freed.
  struct Slot {
    std::atomic<const std::byte*> data{nullptr};
    std::atomic<std::size_t> size{0};
    std::atomic<bool> lost{false};
    std::atomic<bool> taken{true};
    Slot* next = nullptr;
  };

 private:
  Slot* slot_ = nullptr;
};

}  // namespace imn::io
