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

// A mapping shows the file as it is when a byte is read, not as it was when it was opened: require_whole() after
// reading says whether all of it was there.
class MappedFile {
 public:
  // `path` is UTF-8. Throws FileError: not found, a directory, no permission, not a regular file, empty is allowed.
  MappedFile(const std::string& path, Access access);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Throws FileError if some of what was read was not there (any more): the values are zeros then.
  void require_whole() const {
    if (lost_ && lost_->any()) fail_lost();
  }
  // Whether the file was written to since it was opened; false as well where that cannot be told.
  bool changed() const;

 private:
  [[noreturn]] void fail_lost() const;

  // What tells a file from its later states.
  struct State {
    std::uint64_t device = 0, file = 0, size = 0;
    std::int64_t seconds = 0, nanoseconds = 0;
  };

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  State opened_;
  std::optional<LostPages> lost_;  // gone before the mapping is
};

}  // namespace imn::io
