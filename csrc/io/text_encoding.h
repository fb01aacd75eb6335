// Text of attributes, whatever bytes a file holds, as valid UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace imn::io {

// Valid UTF-8 stays; anything else is read as Windows-1252 (a superset of ISO-8859-1), which many writers emit whatever
// they declare. Control characters become blanks.
std::string to_utf8(std::string_view text);

// The code point of a byte.
char32_t windows_1252(unsigned char byte);
char32_t iso_8859_15(unsigned char byte);

// ASCII letters in lower case; other bytes stay.
std::string lower_ascii(std::string_view text);

void append_utf8(std::string& out, char32_t code);

}  // namespace imn::io
