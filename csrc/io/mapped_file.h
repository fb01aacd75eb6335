// Read-only memory mapping of a file. The only place of io/ that calls the operating system.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace imn::io {

// How the bytes will be walked; a hint for read-ahead only.
enum class Access { sequential, random };

// A mapping reads the file as it was opened: writers must not shorten it meanwhile (the system would stop the process).
class MappedFile {
 public:
  // `path` is UTF-8. Throws FileError: not found, a directory, no permission, not a regular file, empty is allowed.
  MappedFile(const std::string& path, Access access);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace imn::io
