#include "io/mapped_file.h"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <system_error>

#include "core/error.h"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

namespace imn::io {

void MappedFile::fail_lost() const {
  throw FileError(path_,
                  "cannot be read to its end: it was truncated after it was opened, or its drive was disconnected");
}

void MappedFile::require_size() const {
  require_pages();
  if (const auto now = state_now(); now && now->size < size_) fail_lost();
}

bool MappedFile::changed() const {
  const auto now = state_now();
  return now && *now != opened_;
}

#ifdef _WIN32

std::optional<FileState> MappedFile::state_now() const { return std::nullopt; }

namespace {

// Closes the handle however the scope is left.
struct Handle {
  HANDLE value;
  ~Handle() {
    if (value != nullptr && value != INVALID_HANDLE_VALUE) CloseHandle(value);
  }
};

std::wstring wide(const std::string& path) {
  const int bytes = static_cast<int>(path.size());
  const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), bytes, nullptr, 0);
  if (length <= 0) throw FileError(path, "the path is not valid UTF-8");
  std::wstring text(static_cast<std::size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), bytes, text.data(), length);
  return text;
}

std::string cause_of(DWORD code) {
  switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
      return "no such file";
    case ERROR_ACCESS_DENIED:
      return "permission denied";
    default:
      return "cannot be opened (system error " + std::to_string(code) + ")";
  }
}

}  // namespace

MappedFile::MappedFile(const std::string& path, Access access) : path_(path) {
  const std::wstring name = wide(path);
  const DWORD attributes = GetFileAttributesW(name.c_str());
  if (attributes == INVALID_FILE_ATTRIBUTES) throw FileError(path, cause_of(GetLastError()));
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) throw FileError(path, "is a directory, not a file");
  const DWORD hint = access == Access::sequential ? FILE_FLAG_SEQUENTIAL_SCAN : FILE_FLAG_RANDOM_ACCESS;
  const Handle file{CreateFileW(name.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | hint, nullptr)};
  if (file.value == INVALID_HANDLE_VALUE) throw FileError(path, cause_of(GetLastError()));
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file.value, &size)) throw FileError(path, cause_of(GetLastError()));
  if (static_cast<std::uint64_t>(size.QuadPart) > std::numeric_limits<std::size_t>::max()) {
    throw FileError(path, "too large for this process's address space");
  }
  size_ = static_cast<std::size_t>(size.QuadPart);
  if (size_ == 0) return;
  const Handle mapping{CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr)};
  if (mapping.value == nullptr) throw FileError(path, "cannot be memory-mapped");
  data_ = static_cast<const std::byte*>(MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0));
  if (data_ == nullptr) throw FileError(path, "cannot be memory-mapped");
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

#else

namespace {

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

std::string cause_of(int code) {
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return "no such file";
    case EACCES:
    case EPERM:
      return "permission denied";
    default:
      return std::string("cannot be opened (") + std::strerror(code) + ")";
  }
}

FileState state_of(const struct stat& info) {
#ifdef __APPLE__
  const std::int64_t nanoseconds = info.st_mtimespec.tv_nsec;
#else
  const std::int64_t nanoseconds = info.st_mtim.tv_nsec;
#endif
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size), info.st_mtime, nanoseconds};
}

}  // namespace

MappedFile::MappedFile(const std::string& path, Access access) : path_(path) {
  if (path.find('\0') != std::string::npos) throw FileError(path.c_str(), "the path contains a NUL character");
  // O_NONBLOCK: opening a named pipe must not wait for a writer; regular files ignore it.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0) throw FileError(path, cause_of(errno));
  struct stat info{};
  if (::fstat(file.value, &info) != 0) throw FileError(path, cause_of(errno));
  if (S_ISDIR(info.st_mode)) throw FileError(path, "is a directory, not a file");
  if (!S_ISREG(info.st_mode)) throw FileError(path, "is not a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > std::numeric_limits<std::size_t>::max()) {
    throw FileError(path, "too large for this process's address space");
  }
  size_ = static_cast<std::size_t>(info.st_size);
  opened_ = state_of(info);
  std::error_code error;
  const auto place = std::filesystem::canonical(path, error);
  if (!error) place_ = place.string();
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.value, 0);
  if (data == MAP_FAILED) throw FileError(path, std::string("cannot be memory-mapped (") + std::strerror(errno) + ")");
  data_ = static_cast<const std::byte*>(data);
  ::madvise(data, size_, access == Access::sequential ? MADV_SEQUENTIAL : MADV_NORMAL);
  lost_.emplace(data_, size_);
}

std::optional<FileState> MappedFile::state_now() const {
  struct stat info{};
  if (::stat(place_.c_str(), &info) != 0) return std::nullopt;
  const FileState now = state_of(info);
  if (now.device != opened_.device || now.file != opened_.file) return std::nullopt;
  return now;
}

MappedFile::~MappedFile() {
  lost_.reset();
  // munmap accepts a non-const pointer but does not modify what it points to.
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

#endif

}  // namespace imn::io
