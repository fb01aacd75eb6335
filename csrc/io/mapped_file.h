// Read-only memory mapping of a file. The only place of io/ that calls the operating system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/lost_pages.h"

namespace imn::io {

// How the bytes will be walked; a hint for read-ahead only.
enum class Access { sequential, random };

// What tells a file from its later states.
struct FileState {
  std::uint64_t device = 0, file = 0, size = 0;
  std::int64_t seconds = 0, nanoseconds = 0;
  bool operator==(const FileState&) const = default;
};

// A mapping shows the file as it is when a byte is read, not as it was when it was opened: whoever has read asks
// afterwards whether all of it was there.
class MappedFile {
 public:
  // `path` is UTF-8. Throws FileError: not found, a directory, no permission, not a regular file, empty is allowed.
  MappedFile(const std::string& path, Access access);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Throws FileError if a page that was read is not there any more: its values are zeros. Costs next to nothing. What
  // lies behind the new end of the file in its last page is zeros as well, and only require_size() sees that.
  void require_pages() const {
    if (lost_ && lost_->any()) fail_lost();
  }
  // The same, and asks the system for the file's size.
  void require_size() const;
  // Whether the file was written to since it was opened; false as well where that cannot be told, or where another file
  // has taken its place: the mapping keeps the old one.
  bool changed() const;

 private:
  [[noreturn]] void fail_lost() const;
  // Of the file that was opened; nothing where it is not at its place any more.
  std::optional<FileState> state_now() const;

  std::string path_;
  std::string place_;  // absolute, free of links
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  FileState opened_;
  std::optional<LostPages> lost_;  // gone before the mapping is
};

}  // namespace imn::io
