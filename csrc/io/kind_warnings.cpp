#include "io/kind_warnings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <unordered_map>

#include "io/scan_kinds.h"

namespace imn::io {

namespace {

// A scan window differs from the others if it leaves out more than this share of what all windows span. Instruments
// that adapt the window a little from scan to scan stay below.
constexpr double kLeftOut = 0.2;
// Share of the spectra in such windows below which they are not worth a line.
constexpr double kRare = 0.01;

// Whole numbers as such, others with two decimals at most.
std::string mz_text(double value) {
  std::array<char, 32> buffer;
  const double rounded = static_cast<double>(static_cast<std::int64_t>(value * 100.0 + 0.5)) / 100.0;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), rounded);
  return {buffer.data(), result.ptr};
}

// Number of pixels whose spectra belong to several groups. `group_of`: by kind; groups < 0 do not count.
std::int64_t shared_pixels(const Header& header, const Placed& placed, const std::vector<std::int32_t>& group_of) {
  std::map<std::array<std::int32_t, 3>, std::pair<std::int32_t, bool>> seen;
  std::int64_t shared = 0;
  for (std::int64_t s = 0; s < placed.size(); ++s) {
    const std::int32_t group = group_of[header.kind[static_cast<std::size_t>(placed.number(s))]];
    if (group < 0) continue;
    const auto at = static_cast<std::size_t>(3 * s);
    const auto [entry, added] = seen.try_emplace(
        {placed.coordinates[at], placed.coordinates[at + 1], placed.coordinates[at + 2]}, group, false);
    auto& [first, counted] = entry->second;
    if (added || counted || first == group) continue;
    counted = true;
    ++shared;
  }
  return shared;
}

std::string shown_text(Duplicates policy) {
  return policy == Duplicates::first ? "the first spectrum of each pixel is shown"
                                     : "the spectra of a pixel are combined";
}

std::string run_warning(const Header& header, const Selection& selection, const OpenOptions& options,
                        const Placed& placed) {
  if (options.run || selection.runs.size() < 2) return {};
  std::vector<std::int32_t> groups(header.kinds.size(), -1);
  for (std::size_t k = 0; k < groups.size(); ++k) {
    if (selection.wanted_kind(k)) groups[k] = selection.run_of[k];
  }
  const std::int64_t shared = shared_pixels(header, placed, groups);
  if (shared == 0) return {};
  return "the file holds several runs, " + listed(selection.runs) + ", that share " + std::to_string(shared) +
         (shared == 1 ? " pixel; " : " pixels; ") + shown_text(options.duplicates) +
         ", choose a run with --run (Python: run=)";
}

struct ScanGroups {
  NamedCounts counts;
  std::vector<std::int32_t> of_kind;
  bool differ = false;
};

ScanGroups scan_groups(const Header& header, const Selection& selection) {
  ScanGroups out;
  out.of_kind.assign(header.kinds.size(), -1);
  double lowest = 0.0, highest = 0.0;
  for (std::size_t k = 0; k < header.kinds.size(); ++k) {
    const ScanKind& kind = header.kinds[k];
    if (!selection.wanted_kind(k) || kind.window_hi <= 0.0) continue;
    lowest = highest > 0.0 ? std::min(lowest, kind.window_lo) : kind.window_lo;
    highest = std::max(highest, kind.window_hi);
  }
  std::unordered_map<std::string, std::int32_t> known;
  std::set<std::string> names;  // of analyser, mode and precursor
  std::int64_t narrow = 0, all = 0;
  for (std::size_t k = 0; k < header.kinds.size(); ++k) {
    const ScanKind& kind = header.kinds[k];
    if (!selection.wanted_kind(k) || selection.per_kind[k] == 0) continue;
    const FilterFacts facts = kind.filter == 0 ? FilterFacts{} : read_filter(header.filters[kind.filter]);
    const bool window = kind.window_hi > 0.0;
    if (!window && facts.level == 0) continue;
    std::string name = facts.analyser + (facts.analyser.empty() || facts.mode.empty() ? "" : " ") + facts.mode;
    if (!facts.precursor.empty()) name += " of " + facts.precursor;
    if (!name.empty()) names.insert(name);
    const bool is_narrow = window && kind.window_hi - kind.window_lo < (1.0 - kLeftOut) * (highest - lowest);
    all += selection.per_kind[k];
    narrow += is_narrow ? selection.per_kind[k] : 0;
    if (window) {
      name +=
          std::string(name.empty() ? "" : " ") + "m/z " + mz_text(kind.window_lo) + " to " + mz_text(kind.window_hi);
    }
    const auto [at, added] = known.try_emplace(name, static_cast<std::int32_t>(out.counts.size()));
    if (added) out.counts.emplace_back(name, 0);
    out.counts[static_cast<std::size_t>(at->second)].second += selection.per_kind[k];
    out.of_kind[k] = at->second;
  }
  out.differ = names.size() > 1 || static_cast<double>(narrow) > kRare * static_cast<double>(all);
  return out;
}

std::string scan_warning(const Header& header, const Selection& selection, const OpenOptions& options,
                         const Placed& placed) {
  if (header.kinds.size() < 2) return {};
  const ScanGroups groups = scan_groups(header, selection);
  if (!groups.differ || groups.counts.size() < 2) return {};
  const std::int64_t shared = shared_pixels(header, placed, groups.of_kind);
  std::string text = "spectra differ in scan range or scan type: " + listed(groups.counts) + "; ";
  if (shared == 0) return text + "images are 0 where the scan of a pixel does not reach the m/z";
  text += std::to_string(shared) + (shared == 1 ? " pixel has" : " pixels have") + " several of them, and ";
  if (options.duplicates != Duplicates::first) return text + "their spectra are combined";
  return text + "the first is shown; add them up with --duplicates sum (Python: duplicates=\"sum\")";
}

}  // namespace

std::vector<std::string> kind_warnings(const Header& header, const Selection& selection, const OpenOptions& options,
                                       const Placed& placed) {
  std::vector<std::string> found;
  for (auto* about : {&run_warning, &scan_warning}) {
    std::string text = about(header, selection, options, placed);
    if (!text.empty()) found.push_back(std::move(text));
  }
  return found;
}

}  // namespace imn::io
