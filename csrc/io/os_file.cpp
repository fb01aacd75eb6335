#include "io/os_file.h"

#include <algorithm>
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
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

namespace imn::io {

namespace {

// What one system call reads at most.
constexpr std::int64_t kMostAtOnce = std::int64_t{1} << 30;

}  // namespace

#ifdef _WIN32

namespace {

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

OsFile::OsFile(const std::string& path, Access access) {
  const std::wstring name = wide(path);
  const DWORD attributes = GetFileAttributesW(name.c_str());
  if (attributes == INVALID_FILE_ATTRIBUTES) throw FileError(path, cause_of(GetLastError()));
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) throw FileError(path, "is a directory, not a file");
  const DWORD hint = access == Access::sequential ? FILE_FLAG_SEQUENTIAL_SCAN : FILE_FLAG_RANDOM_ACCESS;
  handle_ = CreateFileW(name.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                        OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | hint, nullptr);
  if (handle_ == INVALID_HANDLE_VALUE) throw FileError(path, cause_of(GetLastError()));
  LARGE_INTEGER size;
  const bool known = GetFileSizeEx(handle_, &size) != 0;
  const DWORD code = GetLastError();
  const bool fits = known && static_cast<std::uint64_t>(size.QuadPart) <= std::numeric_limits<std::size_t>::max();
  if (!fits) {
    CloseHandle(handle_);
    throw FileError(path, known ? "too large for this process's address space" : cause_of(code));
  }
  opened_.size = static_cast<std::uint64_t>(size.QuadPart);
}

OsFile::~OsFile() { CloseHandle(handle_); }

std::int64_t OsFile::read(std::int64_t offset, std::int64_t n, std::byte* to) const {
  std::int64_t done = 0;
  while (done < n) {
    const auto at = static_cast<std::uint64_t>(offset + done);
    OVERLAPPED where{};
    where.Offset = static_cast<DWORD>(at & 0xFFFFFFFFU);
    where.OffsetHigh = static_cast<DWORD>(at >> 32);
    DWORD got = 0;
    const auto wanted = static_cast<DWORD>(std::min(n - done, kMostAtOnce));
    if (!ReadFile(handle_, to + done, wanted, &got, &where)) return GetLastError() == ERROR_HANDLE_EOF ? done : -1;
    if (got == 0) break;
    done += got;
  }
  return done;
}

FilePlace::FilePlace(const std::string&, const FileState& opened) : opened_(opened) {}

std::optional<FileState> FilePlace::now() const { return std::nullopt; }

#else

namespace {

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

OsFile::OsFile(const std::string& path, Access) {
  if (path.find('\0') != std::string::npos) throw FileError(path.c_str(), "the path contains a NUL character");
  // O_NONBLOCK: opening a named pipe must not wait for a writer; regular files ignore it.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw FileError(path, cause_of(errno));
  struct stat info{};
  std::string fault;
  if (::fstat(descriptor_, &info) != 0) {
    fault = cause_of(errno);
  } else if (S_ISDIR(info.st_mode)) {
    fault = "is a directory, not a file";
  } else if (!S_ISREG(info.st_mode)) {
    fault = "is not a regular file";
  } else if (static_cast<std::uint64_t>(info.st_size) > std::numeric_limits<std::size_t>::max()) {
    fault = "too large for this process's address space";
  }
  if (!fault.empty()) {
    ::close(descriptor_);
    throw FileError(path, fault);
  }
  opened_ = state_of(info);
}

OsFile::~OsFile() { ::close(descriptor_); }

std::int64_t OsFile::read(std::int64_t offset, std::int64_t n, std::byte* to) const {
  std::int64_t done = 0;
  while (done < n) {
    const auto wanted = static_cast<std::size_t>(std::min(n - done, kMostAtOnce));
    const ssize_t got = ::pread(descriptor_, to + done, wanted, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += got;
  }
  return done;
}

FilePlace::FilePlace(const std::string& path, const FileState& opened) : opened_(opened) {
  std::error_code error;
  const auto place = std::filesystem::canonical(path, error);
  if (!error) place_ = place.string();
}

std::optional<FileState> FilePlace::now() const {
  struct stat info{};
  if (::stat(place_.c_str(), &info) != 0) return std::nullopt;
  const FileState found = state_of(info);
  if (found.device != opened_.device || found.file != opened_.file) return std::nullopt;
  return found;
}

#endif

}  // namespace imn::io
