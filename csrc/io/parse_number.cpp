#include "io/parse_number.h"

#include <charconv>
#include <cmath>

namespace imn::io {

namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

double parse_real(std::string_view text) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::numeric_limits<double>::quiet_NaN();
  return value;
}

std::int64_t parse_integer_any(std::string_view text) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) return value > kUnreadable ? value : kUnreadable;
  // Scientific notation: exact up to 2^53, beyond the size of any file.
  const double real = parse_real(text);
  constexpr double kExact = 9007199254740992.0;
  if (!(std::fabs(real) <= kExact) || real != std::floor(real)) return kUnreadable;
  return static_cast<std::int64_t>(real);
}

}  // namespace imn::io
