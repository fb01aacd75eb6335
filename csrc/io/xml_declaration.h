// What the first bytes of a file say: the encoding of its XML, or that it is no XML at all.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imn::io {

// The usual name, in lower case, of an encoding that writers spell in several ways ("utf8", "Latin1", "CP1252", ...);
// any other name as it is, in lower case.
std::string usual_encoding(std::string_view name);

// The byte order mark of UTF-8.
inline constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

// The encoding that <?xml ... encoding="..."?> names, as written; empty: none is named. A byte order mark says more
// than the declaration. Nothing: the text does not begin like XML in which ASCII characters are single bytes.
std::optional<std::string_view> declared_encoding(std::string_view text);

// Where the text is another kind of file that users hand over: what it is and what to do, else nothing.
std::string_view other_kind_of_file(std::string_view text);

}  // namespace imn::io
