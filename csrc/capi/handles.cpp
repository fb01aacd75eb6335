#include "capi/handles.h"

#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "capi/forks.h"

namespace imn::capi {

namespace {

struct Entry {
  std::string_view kind;
  std::shared_ptr<void> object;
  bool threaded = false;
  std::uint64_t made_at = 0;  // fork_count()

  bool works() const { return survives_forks(made_at, threaded); }
};

struct Table {
  std::mutex mutex;  // not a shared_mutex: the child of fork() could not unlock it, its thread has another number
  std::unordered_map<std::uintptr_t, Entry> entries;
  std::uintptr_t next = 0x1000;
};

// Never destroyed: a host may release handles while the process ends.
Table& table() {
  static Table* const all = [] {
    auto* const made = new Table;
    watch_forks([] { table().mutex.lock(); }, [] { table().mutex.unlock(); });
    return made;
  }();
  return *all;
}

}  // namespace

void* add_handle(const char* kind, bool threaded, std::shared_ptr<void> object) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const std::uintptr_t handle = all.next;
  all.entries.emplace(handle, Entry{kind, std::move(object), threaded, fork_count()});
  all.next += 0x10;
  return reinterpret_cast<void*>(handle);
}

std::shared_ptr<void> find_handle(const char* kind, const void* handle) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const auto found = all.entries.find(reinterpret_cast<std::uintptr_t>(handle));
  if (found == all.entries.end() || found->second.kind != kind) return nullptr;
  if (!found->second.works()) {
    throw UnavailableError(std::string(kind) +
                           " was made before this process was forked, and does not work here; make another");
  }
  return found->second.object;
}

void drop_handle(const char* kind, const void* handle) noexcept {
  if (handle == nullptr) return;
  std::shared_ptr<void> last;  // destroyed without the lock
  try {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    const auto found = all.entries.find(reinterpret_cast<std::uintptr_t>(handle));
    if (found == all.entries.end() || found->second.kind != kind) return;
    if (!found->second.works()) {
      (void)new std::shared_ptr<void>(std::move(found->second.object));  // never destroyed
    }
    last = std::move(found->second.object);
    all.entries.erase(found);
  } catch (...) {  // a lock that cannot be had: the object stays
  }
}

}  // namespace imn::capi
