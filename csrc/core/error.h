// Exception types of the library. The bindings translate what leaves it; within, only what reads on past a damaged
// spectrum (io/) and what carries an exception to another thread catches them.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string>

namespace imn {

// Base of everything the library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file cannot be used: what() is "<file>: <cause>".
class FileError : public Error {
 public:
  FileError(const std::string& file, const std::string& cause) : Error(file + ": " + cause) {}
  // The same error with a remark behind it.
  FileError also(const std::string& remark) const { return FileError(std::string(what()) + "; " + remark); }

 private:
  explicit FileError(const std::string& text) : Error(text) {}
};

// The caller passed something that cannot be meant.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

// A capability is not in this build or not on this machine.
class UnavailableError : public Error {
 public:
  using Error::Error;
};

// A cancel callback asked to stop.
class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
};

// For long work between two grains of parallel_for.
inline void throw_if_cancelled(const std::atomic<bool>* cancel) {
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
}

}  // namespace imn
