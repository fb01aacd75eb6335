#include "io/xml_declaration.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "io/text_encoding.h"
#include "io/xml_limits.h"

namespace imn::io {

using namespace std::string_view_literals;

std::string usual_encoding(std::string_view name) {
  const std::string lower = lower_ascii(name);
  std::string bare;
  std::copy_if(lower.begin(), lower.end(), std::back_inserter(bare), [](char c) { return c != '-' && c != '_'; });
  constexpr std::array<std::pair<std::string_view, const char*>, 9> kUsual = {{{"utf8", "utf-8"},
                                                                               {"usascii", "us-ascii"},
                                                                               {"ascii", "us-ascii"},
                                                                               {"iso88591", "iso-8859-1"},
                                                                               {"latin1", "iso-8859-1"},
                                                                               {"windows1252", "windows-1252"},
                                                                               {"cp1252", "windows-1252"},
                                                                               {"iso885915", "iso-8859-15"},
                                                                               {"latin9", "iso-8859-15"}}};
  const auto* found = std::find_if(kUsual.begin(), kUsual.end(), [&](const auto& pair) { return pair.first == bare; });
  return found == kUsual.end() ? lower : found->second;
}

std::optional<std::string_view> declared_encoding(std::string_view text) {
  const bool marked = text.starts_with(kUtf8Mark);
  if (marked) text.remove_prefix(kUtf8Mark.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (!text.starts_with('<')) return std::nullopt;
  if (marked) return "utf-8"sv;
  if (!text.starts_with("<?xml")) return ""sv;
  const auto close = text.substr(0, kMaxDeclaration).find('>');
  if (close == std::string_view::npos) return std::nullopt;
  const std::string_view declaration = text.substr(0, close);
  if (declaration.find('\0') != std::string_view::npos) return std::nullopt;
  const auto at = declaration.find("encoding");
  if (at == std::string_view::npos) return ""sv;
  const auto open = declaration.find_first_of("\"'", at);
  if (open == std::string_view::npos) return std::nullopt;
  const auto shut = declaration.find(declaration[open], open + 1);
  if (shut == std::string_view::npos) return std::nullopt;
  return declaration.substr(open + 1, shut - open - 1);
}

std::string_view other_kind_of_file(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kKinds = {{
      {"\x1F\x8B"sv, "is compressed with gzip; unpack it first"sv},
      {"PK\x03\x04"sv, "is a zip archive; unpack it first"sv},
      {"BZh"sv, "is compressed with bzip2; unpack it first"sv},
      {"\xFD\x37zXZ"sv, "is compressed with xz; unpack it first"sv},
      {"\x28\xB5\x2F\xFD"sv, "is compressed with zstandard; unpack it first"sv},
      {"\x89HDF\r\n"sv, "is an HDF5 file, not imzML"sv},
      {"SQLite format 3"sv, "is an SQLite database, not imzML"sv},
  }};
  const auto* found =
      std::find_if(kKinds.begin(), kKinds.end(), [text](const auto& kind) { return text.starts_with(kind.first); });
  return found == kKinds.end() ? ""sv : found->second;
}

}  // namespace imn::io
