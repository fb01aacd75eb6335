// Read-only memory mapping of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/lost_pages.h"
#include "io/os_file.h"

namespace imn::io {

// Throws the FileError of a file that lost bytes since it was opened.
[[noreturn]] void fail_shrunk(const std::string& path);

// A mapping shows a file as it is when a byte is read, not as it was when it was opened. After reading, call
// require_pages() or require_size() to check that the bytes were there.
class MappedFile {
 public:
  // `path` is UTF-8. Throws FileError if the path is missing, unreadable or not a regular file. Empty files are
  // allowed. `watch`: as in lost_pages.h; otherwise reading a page that is gone ends the process.
  MappedFile(const std::string& path, Access access, bool watch = true);
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
  bool changed() const { return place_.changed(); }

 private:
  [[noreturn]] void fail_lost() const;

  std::string path_;
  FilePlace place_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::optional<LostPages> lost_;  // destroyed before the mapping
};

}  // namespace imn::io
