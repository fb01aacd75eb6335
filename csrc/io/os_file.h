// OsFile: an open regular file. Only this file, mapped_file.cpp and lost_pages.h call the operating system in io/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace imn::io {

// The order in which bytes will be read; only a hint for read-ahead.
enum class Access { sequential, random };

// Identifies a file and its state of modification.
struct FileState {
  std::uint64_t device = 0, file = 0, size = 0;
  std::int64_t seconds = 0, nanoseconds = 0;
  bool operator==(const FileState&) const = default;
};

class OsFile {
 public:
  // `path` is UTF-8. Throws FileError if the path is missing, unreadable or not a regular file.
  OsFile(const std::string& path, Access access);
  ~OsFile();
  OsFile(const OsFile&) = delete;
  OsFile& operator=(const OsFile&) = delete;

  std::size_t size() const { return static_cast<std::size_t>(opened_.size); }
  const FileState& opened() const { return opened_; }  // its state when it was opened
  // Fills `to` and returns how many bytes there were, fewer than n only at the end; -1 after an error. Safe from
  // several threads at once.
  std::int64_t read(std::int64_t offset, std::int64_t n, std::byte* to) const;
#ifdef _WIN32
  void* handle() const { return handle_; }
#else
  int descriptor() const { return descriptor_; }
#endif

 private:
  FileState opened_;
#ifdef _WIN32
  void* handle_ = nullptr;
#else
  int descriptor_ = -1;
#endif
};

// Tells whether a file is still as it was opened.
class FilePlace {
 public:
  FilePlace() = default;
  FilePlace(const std::string& path, const FileState& opened);
  // Its current state; nullopt if the file that was opened is no longer at its path, or if that cannot be determined.
  std::optional<FileState> now() const;
  bool changed() const {
    const auto found = now();
    return found && *found != opened_;
  }

 private:
  std::string place_;  // absolute, links resolved
  FileState opened_;
};

}  // namespace imn::io
