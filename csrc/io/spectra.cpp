#include "io/spectra.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "core/error.h"

namespace imn::io {

namespace {

constexpr const char* kForeignIbd =
    "the ibd file carries another UUID than the imzML file; check that the two files belong together";

// The 16 bytes of "{AA71A7D0-01AC-...}" in the order written; false if the text is not a UUID.
bool uuid_bytes(const std::string& text, std::array<std::uint8_t, 16>& out) {
  std::size_t digits = 0;
  for (const char c : text) {
    int value;
    if (c >= '0' && c <= '9') {
      value = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      value = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      value = c - 'A' + 10;
    } else if (c == '-' || c == '{' || c == '}' || c == ' ') {
      continue;
    } else {
      return false;
    }
    if (digits >= 32) return false;
    std::uint8_t& byte = out[digits / 2];
    byte = static_cast<std::uint8_t>(digits % 2 == 0 ? value << 4 : byte | value);
    ++digits;
  }
  return digits == 32;
}

}  // namespace

Spectra::Spectra(const std::string& imzml_path, Bytes ibd, const OpenOptions& options, Header& header,
                 const Selection& selection)
    : path_(imzml_path), repair_(options.repair), ibd_(std::move(ibd)) {
  const std::int64_t bytes = ibd_.size();
  if (bytes == 0) throw FileError(ibd_.path(), "the file is empty");
  foreign_ibd_ = !carries_uuid(header.text.uuid);
  try {
    layout_ = resolve_layout(header, selection, path_, ibd_.path(), bytes, options.strict);
  } catch (const FileError& error) {
    if (!foreign_ibd_) throw;
    throw error.also(kForeignIbd);
  }
  size_ = layout_.kept.empty() ? header.n_spectra() : static_cast<std::int64_t>(layout_.kept.size());
  streams_ = !repair_ && ibd_.mapped() && !layout_.intensity.any_compressed(size_) &&
             (layout_.mode == Mode::continuous || !layout_.mz.any_compressed(size_));
  zeroed_ = std::vector<std::atomic<std::uint8_t>>(static_cast<std::size_t>(size_));
  ascending_ = std::vector<std::atomic<std::uint8_t>>(static_cast<std::size_t>(size_));
}

Spectra::Spectra(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options)
    : path_(source->name()), repair_(options.repair), ibd_(source->name()), source_(std::move(source)) {
  size_ = static_cast<std::int64_t>(source_->positions().size() / 3);
  layout_.mode = Mode::processed;
  zeroed_ = std::vector<std::atomic<std::uint8_t>>(static_cast<std::size_t>(size_));
}

bool Spectra::carries_uuid(const std::string& declared) const {
  std::array<std::uint8_t, 16> wanted{};
  if (declared.empty() || !uuid_bytes(declared, wanted)) return true;
  if (ibd_.size() < 16) return false;
  const Held held = ibd_.hold(0, 16);
  const auto bytes = held.bytes();
  if (std::memcmp(bytes.data(), wanted.data(), 16) == 0) return true;
  // Writers on Windows store the first three groups little-endian.
  std::reverse(wanted.begin(), wanted.begin() + 4);
  std::swap(wanted[4], wanted[5]);
  std::swap(wanted[6], wanted[7]);
  return std::memcmp(bytes.data(), wanted.data(), 16) == 0;
}

std::vector<std::int64_t> Spectra::overlapping() const {
  struct Range {
    std::int64_t first, last, spectrum;
    const ArrayTable* table;
  };
  std::vector<Range> extents;
  for (std::int64_t s = 0; s < size_ && !source_; ++s) {
    for (const ArrayTable* table : {&layout_.mz, &layout_.intensity}) {
      const ArrayRef array = (*table)[s];
      if (array.length > 0) extents.push_back({array.offset, array.offset + array.bytes, s, table});
    }
  }
  std::sort(extents.begin(), extents.end(), [](const Range& a, const Range& b) {
    return std::tie(a.first, a.last, a.spectrum) < std::tie(b.first, b.last, b.spectrum);
  });
  std::vector<std::int64_t> found;
  std::size_t reach = 0;  // of the extents before, the one that ends last
  for (std::size_t i = 1; i < extents.size(); ++i) {
    const Range &before = extents[reach], &here = extents[i];
    const bool same = before.first == here.first && before.last == here.last && before.table == here.table;
    if (here.first < before.last && !same) found.insert(found.end(), {before.spectrum, here.spectrum});
    if (here.last > before.last) reach = i;
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::vector<std::string> Spectra::opening_warnings() const {
  std::vector<std::string> all = layout_.warnings;
  if (foreign_ibd_) all.push_back(kForeignIbd);
  return all;
}

std::vector<std::string> Spectra::reading_warnings() const {
  const std::int64_t n = n_zeroed_.load();
  if (n == 0) return {};
  return {"NaN or infinite intensities in " + std::to_string(n) + " of the spectra read so far count as 0"};
}

void Spectra::fail(std::int64_t s, const std::string& cause) const {
  const FileError error(path_, "spectrum " + std::to_string(number_in_file(s)) + ": " + cause);
  throw foreign_ibd_ ? error.also(kForeignIbd) : error;
}

}  // namespace imn::io
