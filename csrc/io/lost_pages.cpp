#include "io/lost_pages.h"

#ifndef _WIN32
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>
#endif

namespace imn::io {

#ifdef _WIN32

LostPages::LostPages(const std::byte*, std::size_t) {}
LostPages::~LostPages() = default;

#else

namespace {

using Slot = LostPages::Slot;

// A list that only grows, at its head, because the handler may walk it at any time.
std::atomic<Slot*> first_slot{nullptr};
struct sigaction previous;
std::uintptr_t page_size = 0;

// Replaces the page, and all that follow in its mapping, by zeros. Returns false if no watched mapping contains it.
bool replace(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (Slot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const auto begin = reinterpret_cast<std::uintptr_t>(slot->data.load(std::memory_order_acquire));
    const std::uintptr_t end = begin + slot->size.load(std::memory_order_acquire);
    if (begin == 0 || at < begin || at >= end) continue;
    // The slot was reused in between: address and size belong to different mappings.
    if (reinterpret_cast<std::uintptr_t>(slot->data.load(std::memory_order_acquire)) != begin) continue;
    const std::uintptr_t page = at & ~(page_size - 1);
    slot->lost.store(true, std::memory_order_release);
    return ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                  0) != MAP_FAILED;
  }
  return false;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const bool replaced = info->si_code > 0 && replace(info->si_addr);  // 0 and below: sent by a process
  errno = saved;
  if (replaced) return;
  if (previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // The access is repeated and ends the process as it would have without this handler.
    ::sigaction(signal, &previous, nullptr);
    if (info->si_code <= 0) ::raise(signal);
  }
}

void install() {
  page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous);
}

Slot* take_slot() {
  for (Slot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool taken = false;
    if (slot->taken.compare_exchange_strong(taken, true)) return slot;
  }
  auto* slot = new Slot;
  slot->next = first_slot.load(std::memory_order_relaxed);
  while (!first_slot.compare_exchange_weak(slot->next, slot, std::memory_order_release)) {
  }
  return slot;
}

}  // namespace

LostPages::LostPages(const std::byte* data, std::size_t size) {
  if (data == nullptr) return;
  static std::once_flag once;
  std::call_once(once, install);
  slot_ = take_slot();
  slot_->lost.store(false, std::memory_order_relaxed);
  slot_->size.store(size, std::memory_order_release);
  slot_->data.store(data, std::memory_order_release);
}

LostPages::~LostPages() {
  if (slot_ == nullptr) return;
  slot_->data.store(nullptr, std::memory_order_release);
  slot_->taken.store(false, std::memory_order_release);
}

#endif

}  // namespace imn::io
