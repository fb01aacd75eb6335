// Converts attribute text to valid UTF-8, whatever bytes a file contains.
#pragma once

#include <string>
#include <string_view>

namespace imn::io {

// Valid UTF-8 is kept; anything else is read as Windows-1252 (a superset of ISO-8859-1), which many writers emit
// regardless of what they declare. Control characters become blanks.
std::string to_utf8(std::string_view text);

// The code point of a byte.
char32_t windows_1252(unsigned char byte);
char32_t iso_8859_15(unsigned char byte);

// Lower-cases ASCII letters; other bytes are kept.
std::string lower_ascii(std::string_view text);

void append_utf8(std::string& out, char32_t code);

}  // namespace imn::io
