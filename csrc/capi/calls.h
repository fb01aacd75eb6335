// What every function of the C interface does: no exception leaves it, options are read by their size, text is copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "capi/engine_network.h"
#include "capi/forks.h"
#include "capi/include/ionmorphnet.h"
#include "core/error.h"

namespace imn::capi {

// A structure has the wrong size, or a field that this library does not know is set.
class StructError : public Error {
 public:
  using Error::Error;
};

// A buffer of the caller is too small.
class BufferError : public Error {
 public:
  using Error::Error;
};

// Keeps the message for imn_message(); returns the status.
imn_status failed(imn_status status, const char* message) noexcept;

// Runs the body of a function. On failure the message is kept for this thread.
template <typename Body>
imn_status guarded(Body&& body) noexcept {
  const InCall in_call;
  try {
    body();
    return IMN_OK;
  } catch (const Cancelled& error) {
    return failed(IMN_ERR_CANCELLED, error.what());
  } catch (const ArgumentError& error) {
    return failed(IMN_ERR_ARGUMENT, error.what());
  } catch (const FileError& error) {
    return failed(IMN_ERR_FILE, error.what());
  } catch (const UnavailableError& error) {
    return failed(IMN_ERR_UNAVAILABLE, error.what());
  } catch (const CallbackError& error) {
    return failed(IMN_ERR_CALLBACK, error.what());
  } catch (const StructError& error) {
    return failed(IMN_ERR_STRUCT, error.what());
  } catch (const BufferError& error) {
    return failed(IMN_ERR_BUFFER, error.what());
  } catch (const ResultError& error) {
    return failed(IMN_ERR_RESULT, error.what());
  } catch (const std::bad_alloc&) {
    return failed(IMN_ERR_MEMORY, "out of memory");
  } catch (const std::length_error&) {
    return failed(IMN_ERR_MEMORY, "more memory is needed than there can be");
  } catch (const std::exception& error) {
    return failed(IMN_ERR_INTERNAL, error.what());
  } catch (...) {
    return failed(IMN_ERR_INTERNAL, "unknown exception");
  }
}

// Copies what the caller's structure holds into one of this library's size; what the caller lacks is zero. Throws
// StructError if the size cannot be right, or if the caller set fields that this library does not know.
void read_struct(const void* given, void* to, std::size_t size, const char* name);

template <typename T>
T options_of(const T* given, const char* name) {
  T options{};
  if (given != nullptr) read_struct(given, &options, sizeof options, name);
  return options;
}

template <typename T>
T required_struct(const T* given, const char* name) {
  if (given == nullptr) throw ArgumentError(std::string(name) + " is NULL");
  return options_of(given, name);
}

inline void require_zero(std::uint32_t reserved, const char* name) {
  if (reserved != 0) throw StructError(std::string(name) + ": reserved must be 0");
}

// The argument `out` of functions that make a handle: throws ArgumentError if it is NULL, else sets it to NULL.
template <typename Handle>
void clear_out(Handle** out) {
  if (out == nullptr) throw ArgumentError("out is NULL");
  *out = nullptr;
}

template <typename T>
T& required(T* pointer, const char* name) {
  if (pointer == nullptr) throw ArgumentError(std::string(name) + " is NULL");
  return *pointer;
}

inline std::string text_or(const char* text, const char* otherwise = "") { return text == nullptr ? otherwise : text; }

// Throws ArgumentError unless 0 (all) or more.
int checked_threads(std::int32_t threads, int otherwise);

// Copies text as far as there is room, always with NUL; `length` receives the bytes that all of it needs. Throws
// BufferError if it was cut, except for n = 0, which only asks.
void copy_text(const std::string& text, char* to, std::uint64_t n, std::uint64_t* length);

// Throws BufferError if there is room for fewer than n values, ArgumentError if `to` is NULL and n is not 0.
void require_room(const void* to, std::uint64_t room, std::uint64_t n, const char* name);

}  // namespace imn::capi
