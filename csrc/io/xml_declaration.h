// What the first bytes of a file reveal: the encoding of its XML, or that it is not XML.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imn::io {

// The usual name, in lower case, of an encoding that writers spell in several ways ("utf8", "Latin1", "CP1252", ...);
// any other name in lower case.
std::string usual_encoding(std::string_view name);

// The byte order mark of UTF-8.
inline constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

// The encoding that <?xml ... encoding="..."?> names, as written; empty if it names none. A byte order mark takes
// precedence. nullopt if the text does not begin like XML in which ASCII characters are single bytes.
std::optional<std::string_view> declared_encoding(std::string_view text);

// If the text belongs to another kind of file that users mistake for imzML: what it is and what to do. Else empty.
std::string_view other_kind_of_file(std::string_view text);

}  // namespace imn::io
