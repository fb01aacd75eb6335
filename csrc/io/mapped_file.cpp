#include "io/mapped_file.h"

#include "core/error.h"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#endif

namespace imn::io {

void fail_shrunk(const std::string& path) {
  throw FileError(path,
                  "cannot be read to its end: it was truncated after it was opened, or its drive was disconnected");
}

void MappedFile::fail_lost() const { fail_shrunk(path_); }

void MappedFile::require_size() const {
  require_pages();
  if (const auto now = place_.now(); now && now->size < size_) fail_lost();
}

MappedFile::MappedFile(const std::string& path, Access access, bool watch) : path_(path) {
  const OsFile file(path, access);
  size_ = file.size();
  place_ = FilePlace(path, file.opened());
  if (size_ == 0) return;
#ifdef _WIN32
  (void)watch;  // there is no signal to watch for
  const HANDLE mapping = CreateFileMappingW(file.handle(), nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (mapping == nullptr) throw FileError(path, "cannot be memory-mapped");
  data_ = static_cast<const std::byte*>(MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0));
  CloseHandle(mapping);
  if (data_ == nullptr) throw FileError(path, "cannot be memory-mapped");
#else
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (data == MAP_FAILED) throw FileError(path, std::string("cannot be memory-mapped (") + std::strerror(errno) + ")");
  data_ = static_cast<const std::byte*>(data);
  ::madvise(data, size_, access == Access::sequential ? MADV_SEQUENTIAL : MADV_NORMAL);
  if (watch) lost_.emplace(data_, size_);
#endif
}

MappedFile::~MappedFile() {
  lost_.reset();
  if (data_ == nullptr) return;
#ifdef _WIN32
  UnmapViewOfFile(data_);
#else
  // munmap accepts a non-const pointer but does not modify what it points to.
  ::munmap(const_cast<std::byte*>(data_), size_);
#endif
}

}  // namespace imn::io
