#include "capi/handles.h"

#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace imn::capi {

namespace {

struct Entry {
  std::string_view kind;
  std::shared_ptr<void> object;
};

struct Table {
  std::shared_mutex mutex;
  std::unordered_map<std::uintptr_t, Entry> entries;
  std::uintptr_t next = 0x1000;
};

// Never destroyed: a host may release handles while the process ends.
Table& table() {
  static Table* const all = new Table;
  return *all;
}

}  // namespace

void* add_handle(const char* kind, std::shared_ptr<void> object) {
  Table& all = table();
  const std::unique_lock lock(all.mutex);
  const std::uintptr_t handle = all.next;
  all.entries.emplace(handle, Entry{kind, std::move(object)});
  all.next += 0x10;
  return reinterpret_cast<void*>(handle);
}

std::shared_ptr<void> find_handle(const char* kind, const void* handle) {
  Table& all = table();
  const std::shared_lock lock(all.mutex);
  const auto found = all.entries.find(reinterpret_cast<std::uintptr_t>(handle));
  if (found == all.entries.end() || found->second.kind != kind) return nullptr;
  return found->second.object;
}

void drop_handle(const char* kind, const void* handle) noexcept {
  if (handle == nullptr) return;
  std::shared_ptr<void> last;  // destroyed without the lock
  try {
    Table& all = table();
    const std::unique_lock lock(all.mutex);
    const auto found = all.entries.find(reinterpret_cast<std::uintptr_t>(handle));
    if (found == all.entries.end() || found->second.kind != kind) return;
    last = std::move(found->second.object);
    all.entries.erase(found);
  } catch (...) {  // a lock that cannot be had: the object stays
  }
}

}  // namespace imn::capi
