// Read-only memory mapping of a file. Only this file and lost_pages.h call the operating system in io/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/lost_pages.h"

namespace imn::io {

// The order in which bytes will be read; only a hint for read-ahead.
enum class Access { sequential, random };

// Identifies a file and its state of modification.
struct FileState {
  std::uint64_t device = 0, file = 0, size = 0;
  std::int64_t seconds = 0, nanoseconds = 0;
  bool operator==(const FileState&) const = default;
};

// A mapping shows a file as it is when a byte is read, not as it was when it was opened. After reading, call
// require_pages() or require_size() to check that the bytes were there.
class MappedFile {
 public:
  // `path` is UTF-8. Throws FileError if the path is missing, unreadable or not a regular file. Empty files are
  // allowed.
  MappedFile(const std::string& path, Access access);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Throws FileError if a page that was read no longer exists; its bytes were read as zeros. Costs almost nothing.
  // Bytes past the new end of the file but within its last page are zeros too; only require_size() detects those.
  void require_pages() const {
    if (lost_ && lost_->any()) fail_lost();
  }
  // Also compares the current file size, which costs a system call.
  void require_size() const;
  // Whether the file was modified since it was opened. Also false if that cannot be determined, or if another file has
  // taken its place, because the mapping keeps the old one.
  bool changed() const;

 private:
  [[noreturn]] void fail_lost() const;
  // Current state of the file that was opened; nullopt if it is no longer at its path.
  std::optional<FileState> state_now() const;

  std::string path_;
  std::string place_;  // absolute, links resolved
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  FileState opened_;
  std::optional<LostPages> lost_;  // destroyed before the mapping
};

}  // namespace imn::io
