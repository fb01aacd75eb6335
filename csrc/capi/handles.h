// Handles of the C interface: numbers that are never given twice, so that what was released is recognised.
#pragma once

#include <memory>
#include <string>

#include "core/error.h"

namespace imn::capi {

// Kinds of objects, by the name that messages use.
template <typename T>
struct KindOf;

// Whether objects have threads of their own, which no child of fork() has.
template <typename T>
inline constexpr bool kThreaded = false;

void* add_handle(const char* kind, bool threaded, std::shared_ptr<void> object);
// Null if there is no such handle of this kind. Throws UnavailableError if the object does not work in this child of
// fork().
std::shared_ptr<void> find_handle(const char* kind, const void* handle);
// Does nothing if there is no such handle of this kind. The object goes with its last user; in a child of fork() in
// which it does not work it stays, because to end it is to wait for threads that do not exist.
void drop_handle(const char* kind, const void* handle) noexcept;

template <typename Handle, typename T>
Handle* new_handle(std::shared_ptr<T> object) {
  return static_cast<Handle*>(add_handle(KindOf<T>::name, kThreaded<T>, std::move(object)));
}

// The object of a handle, kept alive by the result. Throws ArgumentError; UnavailableError as find_handle().
template <typename T>
std::shared_ptr<T> object_of(const void* handle) {
  const std::string name = KindOf<T>::name;
  if (handle == nullptr) throw ArgumentError(name + " is NULL");
  auto object = std::static_pointer_cast<T>(find_handle(KindOf<T>::name, handle));
  if (!object) throw ArgumentError(name + " is no handle of this kind, or was released before");
  return object;
}

}  // namespace imn::capi
