// What a spectrum is, apart from its arrays and its position: MS level, polarity, profile or centroid, run, scan filter
// and scan window. Spectra of one kind share an entry, so that a file with a million spectra usually has one or two.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/types.h"

namespace imn::io {

struct ScanKind {
  std::int32_t level = 0;  // MS level; 0: not stated
  Polarity polarity = Polarity::unstated;
  bool profile = false, centroid = false;
  bool light = false;                       // of a detector for light: no mass spectrum
  bool contradicts_filter = false;          // states another level or polarity than its filter string
  std::uint16_t run = 0;                    // index into Header::runs
  std::uint16_t source = 0;                 // index into Header::sources
  std::uint16_t settings = 0;               // index into Header::settings
  std::uint16_t filter = 0;                 // index into Header::filters
  double window_lo = 0.0, window_hi = 0.0;  // m/z range of the scan; 0, 0: not stated

  bool operator==(const ScanKind&) const = default;
};

// The kinds of a file in the order in which they first occur.
class KindTable {
 public:
  std::uint32_t index(const ScanKind& kind) {
    if (!kinds_.empty() && kinds_[last_] == kind) return last_;
    return find_or_add(kind);
  }
  const std::vector<ScanKind>& all() const { return kinds_; }

 private:
  struct Hash {
    std::size_t operator()(const ScanKind& kind) const;
  };
  std::uint32_t find_or_add(const ScanKind& kind);

  std::vector<ScanKind> kinds_;
  std::unordered_map<ScanKind, std::uint32_t, Hash> known_;
  std::uint32_t last_ = 0;
};

// Distinct texts, numbered from 1; 0 is the empty text. What does not fit any more is `other`, so that no file can make
// the table large.
class TextTable {
 public:
  explicit TextTable(std::size_t limit = 4096) : limit_(limit) {}
  std::uint16_t index(std::string_view text) {
    if (text.empty()) return 0;
    if (texts_[last_] == text) return last_;
    return find_or_add(text);
  }
  // Names in their order; the first is empty.
  const std::vector<std::string>& all() const { return texts_; }
  std::size_t size() const { return texts_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::uint16_t find_or_add(std::string_view text);

  std::size_t limit_;
  std::vector<std::string> texts_{std::string()};
  std::unordered_map<std::string, std::uint16_t, Hash, std::equal_to<>> known_;
  std::uint16_t last_ = 0;
};

// What the filter string of a scan says, as Thermo instruments write it: "FTMS + p ESI Full ms [100.00-1000.00]".
// Nothing is stated if the text does not have this form.
struct FilterFacts {
  std::int32_t level = 0;
  Polarity polarity = Polarity::unstated;
  std::string analyser;   // "FTMS"
  std::string mode;       // "Full", "SIM" ...
  std::string precursor;  // m/z of the ions that were fragmented, as written
  double window_lo = 0.0, window_hi = 0.0;
};
FilterFacts read_filter(std::string_view text);

}  // namespace imn::io
