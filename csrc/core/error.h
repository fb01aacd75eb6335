// Exception types of the library. The bindings translate them. Inside the library they are caught only to continue
// after a damaged spectrum (io/) or to pass them to another thread.
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

// A file cannot be used. what() is "<file>: <cause>; <remedy>".
class FileError : public Error {
 public:
  FileError(const std::string& file, const std::string& cause) : Error(file + ": " + cause) {}
  // The same error with a remark appended.
  FileError also(const std::string& remark) const { return FileError(std::string(what()) + "; " + remark); }

 private:
  explicit FileError(const std::string& text) : Error(text) {}
};

// An argument is invalid or out of range.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

// A capability is missing from this build or machine.
class UnavailableError : public Error {
 public:
  using Error::Error;
};

// A network or statistic returned what is no number.
class ResultError : public Error {
 public:
  using Error::Error;
};

// The work was cancelled by the caller.
class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
};

// For long work within one grain of parallel_for.
inline void throw_if_cancelled(const std::atomic<bool>* cancel) {
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
}

}  // namespace imn
