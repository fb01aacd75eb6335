#include "io/section.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "core/error.h"
#include "io/describe.h"
#include "io/ibd_lookup.h"

namespace imn::io {

namespace {

// The 16 bytes of "{AA71A7D0-01AC-...}" in the order written; false if it is no UUID.
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

std::shared_ptr<const Section> Section::open(const std::string& path, const OpenOptions& options) {
  Header header = parse_header(MappedFile(path, Access::sequential), Extent::all);
  if (header.n_spectra() == 0) throw FileError(path, "the file holds no spectra");
  const std::string ibd = options.ibd_path.empty() ? find_ibd(path) : options.ibd_path;
  return std::make_shared<const Section>(path, options, ibd, std::move(header));
}

Section::Section(const std::string& path, const OpenOptions& options, const std::string& ibd_path, Header header)
    : path_(path), options_(options), ibd_(ibd_path, Access::random) {
  if (ibd_.bytes().empty()) throw FileError(ibd_.path(), "the file is empty");
  foreign_ibd_ = !carries_uuid(header.text.uuid);
  const auto size = static_cast<std::int64_t>(ibd_.bytes().size());
  try {
    layout_ = resolve_layout(header, path_, ibd_.path(), size, options_.strict);
  } catch (const FileError& error) {
    if (!foreign_ibd_) throw;
    throw error.also(kForeignIbd);
  }
  opening_warnings_ = layout_.warnings;
  if (foreign_ibd_) opening_warnings_.push_back(kForeignIbd);
  if (header.declared_count != kAbsent && header.declared_count != header.n_spectra()) {
    opening_warnings_.push_back("the file announces " + std::to_string(header.declared_count) + " spectra and holds " +
                                std::to_string(header.n_spectra()));
  }
  take_coordinates(header);
  streams_ = !options_.repair && !layout_.intensity.any_compressed(n_spectra()) &&
             (layout_.mode == Mode::continuous || !layout_.mz.any_compressed(n_spectra()));
  declared_ = describe(header);
  pixel_size_ = io::pixel_size_um(header.text);
  check_duplicates();
  zeroed_ = std::vector<std::atomic<std::uint8_t>>(static_cast<std::size_t>(n_spectra()));
  ascending_ = std::vector<std::atomic<std::uint8_t>>(static_cast<std::size_t>(n_spectra()));
  choose_type(header);
}

void Section::take_coordinates(const Header& header) {
  const auto& kept = layout_.kept;
  const std::size_t n = kept.empty() ? header.x.size() : kept.size();
  raw_.resize(3 * n);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t i = kept.empty() ? k : static_cast<std::size_t>(kept[k]);
    const std::int64_t x = header.x[i], y = header.y[i], z = header.z[i];
    if (x == kAbsent || y == kAbsent) {
      throw FileError(path_, "spectrum " + std::to_string(i) + ": it has no position " + (x == kAbsent ? "x" : "y"));
    }
    if (x == kUnreadable || y == kUnreadable || z == kUnreadable) {
      throw FileError(path_, "spectrum " + std::to_string(i) + ": its position is no integer");
    }
    raw_[3 * k] = x;
    raw_[3 * k + 1] = y;
    raw_[3 * k + 2] = z == kAbsent ? 0 : z;
  }
  auto count = [](const std::string& text) -> std::optional<std::int64_t> {
    const std::int64_t value = parse_integer(text);
    return value > 0 ? std::optional(value) : std::nullopt;
  };
  grid_ = make_grid(raw_, count(header.text.max_count_x), count(header.text.max_count_y), path_);
  opening_warnings_.insert(opening_warnings_.end(), grid_.warnings.begin(), grid_.warnings.end());
}

bool Section::carries_uuid(const std::string& declared) const {
  std::array<std::uint8_t, 16> wanted{};
  const auto bytes = ibd_.bytes();
  if (declared.empty() || !uuid_bytes(declared, wanted)) return true;
  if (bytes.size() < 16) return false;
  if (std::memcmp(bytes.data(), wanted.data(), 16) == 0) return true;
  // Writers on Windows store the first three groups little-endian.
  std::reverse(wanted.begin(), wanted.begin() + 4);
  std::swap(wanted[4], wanted[5]);
  std::swap(wanted[6], wanted[7]);
  return std::memcmp(bytes.data(), wanted.data(), 16) == 0;
}

void Section::check_duplicates() {
  const std::size_t n = raw_.size() / 3;
  std::vector<std::int64_t> members(n);
  for (std::size_t i = 0; i < n; ++i) members[i] = static_cast<std::int64_t>(i);
  // By position, then file order: the second of two equal neighbours is a duplicate.
  const std::int32_t* c = grid_.coordinates.data();
  auto key = [c](std::int64_t i) { return std::array{c[3 * i + 2], c[3 * i + 1], c[3 * i]}; };
  auto less = [&](std::int64_t a, std::int64_t b) { return key(a) < key(b) || (key(a) == key(b) && a < b); };
  if (!std::is_sorted(members.begin(), members.end(), less)) std::sort(members.begin(), members.end(), less);
  std::int64_t duplicates = 0, first = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 1; i < n; ++i) {
    if (key(members[i]) != key(members[i - 1])) continue;
    ++duplicates;
    first = std::min(first, members[i]);
  }
  if (duplicates == 0) return;
  const std::string text = std::to_string(duplicates) +
                           " spectra lie on a pixel that already has one (first: spectrum " + std::to_string(first) +
                           ")";
  if (options_.duplicates == Duplicates::error) throw FileError(path_, text);
  opening_warnings_.push_back(
      text + (options_.duplicates == Duplicates::sum ? "; they are added up" : "; the first of each pixel is shown"));
}

std::vector<std::int64_t> Section::overlapping() const {
  struct Bytes {
    std::int64_t first, last, spectrum;
    const ArrayTable* table;
  };
  std::vector<Bytes> extents;
  for (std::int64_t s = 0; s < n_spectra(); ++s) {
    for (const ArrayTable* table : {&layout_.mz, &layout_.intensity}) {
      const ArrayRef array = (*table)[s];
      if (array.length > 0) extents.push_back({array.offset, array.offset + array.bytes, s, table});
    }
  }
  std::sort(extents.begin(), extents.end(), [](const Bytes& a, const Bytes& b) {
    return std::tie(a.first, a.last, a.spectrum) < std::tie(b.first, b.last, b.spectrum);
  });
  std::vector<std::int64_t> found;
  std::size_t reach = 0;  // of those before, the one that ends last
  for (std::size_t i = 1; i < extents.size(); ++i) {
    const Bytes &before = extents[reach], &here = extents[i];
    const bool same = before.first == here.first && before.last == here.last && before.table == here.table;
    if (here.first < before.last && !same) found.insert(found.end(), {before.spectrum, here.spectrum});
    if (here.last > before.last) reach = i;
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::vector<std::string> Section::warnings() const {
  std::vector<std::string> all = opening_warnings_;
  if (const std::int64_t n = n_zeroed_.load(); n > 0) {
    all.push_back("NaN or infinite intensities in " + std::to_string(n) + " of the spectra read so far count as 0");
  }
  return all;
}

}  // namespace imn::io
