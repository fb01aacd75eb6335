#include "io/scan_kinds.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "io/parse_number.h"

namespace imn::io {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kOther = "other";

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  for (;;) {
    const auto from = text.find_first_not_of(kBlanks);
    if (from == std::string_view::npos) return found;
    text.remove_prefix(from);
    const auto size = std::min(text.find_first_of(kBlanks), text.size());
    found.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
}

// "ms", "ms2", "msx2" ... -> level; 0 if the word is none of them.
std::int32_t level_of(std::string_view word) {
  std::string lower(word);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!lower.starts_with("ms")) return 0;
  lower.erase(0, lower.starts_with("msx") ? 3 : 2);
  if (lower.empty()) return 1;
  const std::int64_t level = parse_integer(lower);
  return level >= 1 && level <= 20 ? static_cast<std::int32_t>(level) : 0;
}

// "100.00-800.00", "120.00-130.00, 150.00-160.00", and with decimal commas "100,00-800,00": lowest and highest m/z.
void read_ranges(std::string_view text, double& lowest, double& highest) {
  std::string plain(text);
  const bool decimal_commas = plain.find('.') == std::string::npos && plain.find(", ") == std::string::npos;
  std::replace(plain.begin(), plain.end(), ',', decimal_commas ? '.' : ' ');
  for (const std::string_view range : words(plain)) {
    const auto dash = range.find('-');
    if (dash == std::string_view::npos) continue;
    const double lo = parse_real(range.substr(0, dash)), hi = parse_real(range.substr(dash + 1));
    if (!(lo >= 0.0 && hi > lo)) continue;
    lowest = highest > 0.0 ? std::min(lowest, lo) : lo;
    highest = std::max(highest, hi);
  }
}

}  // namespace

std::size_t KindTable::Hash::operator()(const ScanKind& kind) const {
  std::uint64_t hash = 0;
  auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x9E3779B97F4A7C15U + (hash >> 29); };
  mix(static_cast<std::uint64_t>(kind.level) << 8 | static_cast<std::uint64_t>(kind.polarity) << 4 |
      static_cast<std::uint64_t>(kind.light) << 3 | static_cast<std::uint64_t>(kind.profile) << 2 |
      static_cast<std::uint64_t>(kind.centroid) << 1 | static_cast<std::uint64_t>(kind.contradicts_filter));
  mix(static_cast<std::uint64_t>(kind.run) << 48 | static_cast<std::uint64_t>(kind.source) << 32 |
      static_cast<std::uint64_t>(kind.settings) << 16 | kind.filter);
  mix(std::bit_cast<std::uint64_t>(kind.window_lo));
  mix(std::bit_cast<std::uint64_t>(kind.window_hi));
  return static_cast<std::size_t>(hash ^ hash >> 32);
}

std::uint32_t KindTable::find_or_add(const ScanKind& kind) {
  const auto [at, added] = known_.try_emplace(kind, static_cast<std::uint32_t>(kinds_.size()));
  if (added) kinds_.push_back(kind);
  return last_ = at->second;
}

std::uint16_t TextTable::find_or_add(std::string_view text) {
  const auto found = known_.find(text);
  if (found != known_.end()) return last_ = found->second;
  if (texts_.size() >= limit_ && text != kOther) return find_or_add(kOther);
  const auto number = static_cast<std::uint16_t>(texts_.size());
  texts_.emplace_back(text);
  known_.emplace(std::string(text), number);
  return last_ = number;
}

FilterFacts read_filter(std::string_view text) {
  FilterFacts facts;
  const auto open = text.rfind('[');
  const std::vector<std::string_view> parts = words(text.substr(0, open));
  const auto sign = std::find_if(parts.begin(), parts.end(), [](auto word) { return word == "+" || word == "-"; });
  const auto ms = std::find_if(parts.begin(), parts.end(), [](auto word) { return level_of(word) > 0; });
  if (sign == parts.end() || ms == parts.end() || ms < sign) return facts;
  facts.polarity = *sign == "+" ? Polarity::positive : Polarity::negative;
  facts.level = level_of(*ms);
  if (sign != parts.begin() && parts.front().front() != '{') facts.analyser = parts.front();
  for (auto word = sign; word != ms; ++word) {
    if (*word == "Full" || *word == "SIM" || *word == "SRM" || *word == "CRM" || *word == "Z") facts.mode = *word;
  }
  for (auto word = ms + 1; word < parts.end(); ++word) {
    if (const auto at = word->find('@'); at != std::string_view::npos && facts.precursor.empty()) {
      facts.precursor = word->substr(0, at);
    }
  }
  if (open != std::string_view::npos) {
    std::string_view ranges = text.substr(open + 1);
    ranges = ranges.substr(0, ranges.find(']'));
    read_ranges(ranges, facts.window_lo, facts.window_hi);
  }
  return facts;
}

}  // namespace imn::io
