// What the system cannot read of a mapped file any more (it became shorter, its drive is gone) is a signal that ends
// the process. Within a watched mapping it becomes zeros instead, and the mapping is marked, so that the reader can
// fail. Signals of other causes go to the handler that was there before. A handler that is set later
// (faulthandler.enable() after the first file was opened) takes the place of this one, and the process ends as it would
// without it.
#pragma once

#include <atomic>
#include <cstddef>

namespace imn::io {

class LostPages {
 public:
  // The mapping must outlive the object. Where the system knows no such signal, nothing is watched.
  LostPages(const std::byte* data, std::size_t size);
  ~LostPages();
  LostPages(const LostPages&) = delete;
  LostPages& operator=(const LostPages&) = delete;

  // Whether a page could not be read: then values read before this was asked may be zeros.
  bool any() const { return slot_ != nullptr && slot_->lost.load(std::memory_order_acquire); }

  // Read by the signal's handler, hence never freed, only used again.
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
