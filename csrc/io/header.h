// The imzML header as tables with one entry per spectrum, uninterpreted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/bytes.h"
#include "io/cv_terms.h"
#include "io/parse_number.h"
#include "io/scan_kinds.h"
#include "io/scan_settings.h"

namespace imn::io {

// Text as found in the head; empty where absent.
struct HeadText {
  std::string mode;           // "continuous" | "processed"
  std::string spectrum_type;  // "profile" | "centroid", from the file content
  std::string uuid, md5, sha1, sha256;
  std::string polarity;  // "positive" | "negative"; of the head alone until the spectra are known
  std::string ms_level;  // of the spectra that are read
  bool both_polarities = false;
  std::vector<std::string> instruments, software, source_files, other_arrays;
  DeclaredPixels pixels;
};

// How the bytes of an array are declared; not yet checked against the lengths.
struct ArrayFormat {
  Term dtype = Term::unknown;        // by accession
  Term named_dtype = Term::unknown;  // by the accession's name, if that differs
  Term compression = Term::no_compression;
  bool is_signed = true;
};

// One array (m/z or intensity) of all spectra. kAbsent, kUnreadable as in parse_number.h. Without a format, a length of
// kUnreadable means that the spectrum has arrays, but none of a known kind.
struct ArrayColumn {
  std::vector<std::int64_t> offset, length, encoded;
  std::vector<std::uint8_t> format;  // index into Header::formats
};

struct Header {
  HeadText text;
  std::int64_t declared_count = kAbsent;  // <spectrumList count="...">
  std::vector<ArrayFormat> formats;
  std::vector<std::int64_t> x, y, z;
  ArrayColumn mz, intensity;
  std::vector<ScanKind> kinds;
  std::vector<std::uint32_t> kind;  // of each spectrum, index into kinds
  // What kinds refer to by index; the first of each is empty and stands for "not stated".
  std::vector<std::string> runs, sources, settings, filters;
  std::int64_t other_arrays = 0;  // arrays other than m/z and intensity
  bool imaging = false;           // an IMS term was seen: imzML rather than plain mzML
  bool used_expat = false;

  std::int64_t n_spectra() const { return static_cast<std::int64_t>(x.size()); }
};

constexpr std::uint8_t kNoFormat = 255;  // the spectrum has no such array

enum class Parser { automatic, scanner, expat };
enum class Extent { head, all };

// Reads the header. Parser::automatic tries the scanner first, then expat for XML that the scanner does not recognise.
// Throws FileError.
Header parse_header(const Bytes& file, Extent extent, Parser parser = Parser::automatic);

}  // namespace imn::io
