// Parses numbers as written in imzML attributes.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace imn::io {

// Stand for a missing integer, and for one that cannot be parsed. No meaningful file contains either value.
constexpr std::int64_t kAbsent = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kUnreadable = kAbsent + 1;

// Slow path of parse_integer: surrounding blanks, sign, decimals, exponent ("1.156e+09"), overflow. Returns kUnreadable
// if the text is not an integer or does not fit.
std::int64_t parse_integer_any(std::string_view text);

inline std::int64_t parse_integer(std::string_view text) {
  // Up to 18 digits cannot overflow; anything else takes the slow path.
  if (text.empty() || text.size() > 18) return parse_integer_any(text);
  std::int64_t value = 0;
  for (const char c : text) {
    const unsigned digit = static_cast<unsigned>(c) - '0';
    if (digit > 9) return parse_integer_any(text);
    value = value * 10 + static_cast<std::int64_t>(digit);
  }
  return value;
}

// Returns NaN if the text is not a number. Locale-independent.
double parse_real(std::string_view text);

}  // namespace imn::io
