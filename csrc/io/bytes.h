// Bytes: the content of a file, memory-mapped, read by calls, or from a source of the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/mapped_file.h"
#include "io/types.h"

namespace imn::io {

// Random access to bytes that are not mapped. Safe from several threads at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual const std::string& name() const = 0;  // for messages
  virtual std::int64_t size() const = 0;
  // Fills `to` with n bytes from `offset`. Throws FileError if they cannot be read any more.
  virtual void read(std::int64_t offset, std::int64_t n, std::byte* to) const = 0;
  // Throws FileError if there are fewer bytes than when it was opened.
  virtual void require_size() const {}
  // Whether the bytes were modified since; false if that cannot be determined.
  virtual bool changed() const { return false; }
};

// A file by read calls. Throws FileError, as MappedFile does.
std::shared_ptr<const ByteSource> open_by_read_calls(const std::string& path);

// Bytes in memory: of a mapping, or read into memory of its own.
class Held {
 public:
  explicit Held(std::span<const std::byte> mapped) : bytes_(mapped) {}
  explicit Held(std::size_t n) : own_(std::make_unique_for_overwrite<std::byte[]>(n)), bytes_(own_.get(), n) {}
  std::span<const std::byte> bytes() const { return bytes_; }
  std::byte* own() { return own_.get(); }

 private:
  std::unique_ptr<std::byte[]> own_;
  std::span<const std::byte> bytes_;
};

class Bytes {
 public:
  // Throws FileError if the file cannot be opened.
  Bytes(const std::string& path, Access access, Reading reading);
  explicit Bytes(std::shared_ptr<const ByteSource> source) : source_(std::move(source)), path_(source_->name()) {}
  // None; read by other means.
  explicit Bytes(std::string name) : path_(std::move(name)) {}

  const std::string& path() const { return path_; }
  std::int64_t size() const;
  bool mapped() const { return mapped_ != nullptr; }
  // Of a mapping; empty otherwise.
  std::span<const std::byte> mapping() const { return mapped_ ? mapped_->bytes() : std::span<const std::byte>{}; }
  // Bytes [offset, offset + n), which must lie within. Throws FileError if they cannot be read.
  Held hold(std::int64_t offset, std::int64_t n) const;

  // See MappedFile.
  void require_pages() const {
    if (mapped_) mapped_->require_pages();
  }
  void require_size() const;
  bool changed() const;

 private:
  std::unique_ptr<MappedFile> mapped_;
  std::shared_ptr<const ByteSource> source_;
  std::string path_;
};

}  // namespace imn::io
