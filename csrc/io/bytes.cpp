#include "io/bytes.h"

#include "core/error.h"

namespace imn::io {

namespace {

class FileByCalls final : public ByteSource {
 public:
  explicit FileByCalls(const std::string& path)
      : path_(path), file_(path, Access::random), place_(path, file_.opened()) {}

  const std::string& name() const override { return path_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(file_.size()); }
  void read(std::int64_t offset, std::int64_t n, std::byte* to) const override {
    if (file_.read(offset, n, to) != n) fail_shrunk(path_);
  }
  void require_size() const override {
    if (const auto now = place_.now(); now && now->size < file_.size()) fail_shrunk(path_);
  }
  bool changed() const override { return place_.changed(); }

 private:
  std::string path_;
  OsFile file_;
  FilePlace place_;
};

}  // namespace

std::shared_ptr<const ByteSource> open_by_read_calls(const std::string& path) {
  return std::make_shared<const FileByCalls>(path);
}

Bytes::Bytes(const std::string& path, Access access, Reading reading) : path_(path) {
  if (reading == Reading::calls) {
    source_ = open_by_read_calls(path);
  } else {
    mapped_ = std::make_unique<MappedFile>(path, access, reading == Reading::watched);
  }
}

std::int64_t Bytes::size() const {
  if (mapped_) return static_cast<std::int64_t>(mapped_->bytes().size());
  return source_ ? source_->size() : 0;
}

Held Bytes::hold(std::int64_t offset, std::int64_t n) const {
  if (offset < 0 || n < 0 || offset > size() - n) throw FileError(path_, "bytes past its end are asked for");
  if (mapped_) return Held(mapped_->bytes().subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(n)));
  Held held(static_cast<std::size_t>(n));
  if (n > 0) source_->read(offset, n, held.own());
  return held;
}

void Bytes::require_size() const {
  if (mapped_) mapped_->require_size();
  if (source_) source_->require_size();
}

bool Bytes::changed() const { return mapped_ ? mapped_->changed() : source_ && source_->changed(); }

}  // namespace imn::io
